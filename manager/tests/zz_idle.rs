#![allow(clippy::unwrap_used)]
#[tokio::test]
async fn idle() {
    let Some(dir) = std::env::var_os("ORCA_IDLE") else { return };
    let m = manager::Manager::start(manager::ManagerConfig { data_dir: dir.into(), node: model::NodeId::from_random(1) }).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let show = || {
        for t in std::fs::read_dir("/proc/self/task").unwrap() {
            let p = t.unwrap().path();
            let s = std::fs::read_to_string(p.join("status")).unwrap();
            let comm = std::fs::read_to_string(p.join("comm")).unwrap();
            println!("{} {}", comm.trim(), s.lines().filter(|l| l.contains("ctxt")).collect::<Vec<_>>().join(" "));
        }
        let r = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        println!("{}", r.lines().filter(|l| l.starts_with("Pss")).collect::<Vec<_>>().join(" "));
    };
    show();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    show();
    m.shutdown().await;
}
