use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;

use model::{
    Attachment, AttachmentSpec, ContainerSpec, Health, NetworkAssignment, NetworkId, NetworkMode, PortSpec, RunIntent,
    SecretData, SecretId, ServiceId, TaskId, TaskState, TaskStatus, Timestamp, VolumeSpec,
};

use super::*;
use crate::containers::{TaskRef, VolumeUse};
use crate::mounts::VolumeOwner;
use crate::task::{Exit, Goal, Saved};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/db/golden/container-1.bin");

fn record() -> Record {
    Record {
        id: ContainerId::from_random([0xab; 32]),
        name: "web-1".into(),
        // What the first release wrote for "no driver named".
        spec: ContainerSpec {
            image: "orca/demo".into(),
            tty: true,
            log: model::LogConfig { driver: model::LogDriver::JsonFile, ..model::LogConfig::default() },
            ..ContainerSpec::default()
        },
        network: NetworkMode::Networks(vec![AttachmentSpec { network: "front".into(), ..AttachmentSpec::default() }]),
        ports: vec![PortSpec {
            host_ip: None,
            published: Some(8080),
            target: 80,
            protocol: model::Protocol::Tcp,
            mode: model::PublishMode::Host,
            choose_from: None,
        }],
        auto_remove: true,
        task: Some(TaskRef {
            task: TaskId::from_random(1),
            service: ServiceId::from_random(2),
            slot: 3,
            spec_version: 0,
            volumes_since: None,
        }),
        image_id: "sha256:00".into(),
        args: vec!["serve".into()],
        labels: BTreeMap::from([("a".into(), "b".into())]),
        created_at: Timestamp(5),
        attachments: vec![Attachment {
            network: NetworkId::from_random(4),
            addresses: vec![IpAddr::from([10, 0, 0, 2])],
        }],
        volumes: vec![VolumeUse { target: "/data".into(), name: "data".into(), anonymous: true }],
        intent: RunIntent { stopped: true, restarts: 6 },
        life: Saved {
            goal: Goal::Remove { volumes: true, force: false },
            prepared: true,
            rejected: false,
            pending: true,
            reached: TaskState::Running,
            stopped: true,
            generation: 7,
            attempts: 8,
            restart_count: 9,
            restarts_done: 6,
            last_exit: Some(Exit {
                code: 137,
                oom_killed: true,
                started_at: Timestamp(10),
                finished_at: Timestamp(11),
            }),
            error: Some("out of memory".into()),
            health: Health::Unhealthy,
            post_started: 0,
            pre_stopped: 0,
        },
        status: TaskStatus { state: TaskState::Running, revision: 12, ..TaskStatus::default() },
    }
}

#[tokio::test]
async fn what_was_written_is_read_by_the_next_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    let mut record = record();
    let volume = VolumeRecord {
        name: "data".into(),
        spec: VolumeSpec { labels: BTreeMap::from([("k".into(), "v".into())]), ..VolumeSpec::default() },
        created_at: Timestamp(3),
        anonymous: true,
        owner: Some(VolumeOwner {
            service: ServiceId::from_random(2),
            slot: 3,
            target: "/data".into(),
            spec_version: 4,
        }),
    };
    {
        let (db, contents) = Db::open(&path).unwrap();
        assert!(contents.containers.is_empty());
        let taken = VolumeRecord { name: "taken".into(), ..volume.clone() };
        db.create_container(&record, std::slice::from_ref(&taken)).await.unwrap();
        db.save_volume(&volume);
        db.flush().await.unwrap();
        db.delete_volume(&taken.name);
        record.name = "web-2".into();
        record.task = record.task.map(|task| TaskRef { spec_version: 5, volumes_since: Some(4), ..task });
        db.save_container(&record);
        let mut gone = record.clone();
        gone.id = ContainerId::from_random([1; 32]);
        db.save_container(&gone);
        db.delete_container(gone.id);
    }
    let (_db, contents) = Db::open(&path).unwrap();
    assert_eq!(contents.containers, [record]);
    assert_eq!(contents.volumes, BTreeMap::from([("data".into(), volume)]));
}

#[tokio::test]
async fn networks_are_kept_and_secrets_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    let id = NetworkId::from_random(1);
    let network = NetworkAssignment {
        id,
        name: "front".into(),
        subnets: vec!["10.1.0.0/24".parse().unwrap()],
        blocks: vec!["10.1.0.64/26".parse().unwrap()],
        internal: false,
        attachable: true,
        fixed: Vec::new(),
        driver: String::new(),
        options: BTreeMap::new(),
        gateways: Vec::new(),
        reserved: Vec::new(),
        foreign: BTreeMap::from([(model::NodeId::from_random(2), vec!["10.1.0.128/26".parse().unwrap()])]),
    };
    let end =
        model::MeshEnd { key: model::MeshKey::new([5; 32]), address: [192, 0, 2, 5].into(), port: 2378, images: None };
    let secret = SecretData::new(b"a-very-secret-word".to_vec());
    let assignments = Assignments {
        networks: BTreeMap::from([(id, network)]),
        secrets: BTreeMap::from([(SecretId::from_random(1), secret)]),
        peers: BTreeMap::from([(model::NodeId::from_random(2), end)]),
        data_path_port: Some(2378),
        ..Assignments::default()
    };
    {
        let (db, _) = Db::open(&path).unwrap();
        db.save_networks(&assignments);
        db.flush().await.unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(18).any(|window| window == b"a-very-secret-word"));
    let (_db, contents) = Db::open(&path).unwrap();
    let read = contents.networks.unwrap();
    assert_eq!(read.networks, assignments.networks);
    // A daemon that starts while no manager can be reached goes on with the mesh as it was.
    assert_eq!((read.peers, read.data_path_port), (assignments.peers, Some(2378)));
    assert!(read.secrets.is_empty());
}

#[tokio::test]
async fn the_nodes_own_networks_are_kept_in_databases_of_before_them_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    drop(Db::open(&path).unwrap());
    let database = Database::builder().create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(LOCAL_NETWORKS).unwrap());
    transaction.commit().unwrap();
    drop(database);
    let network = LocalNetwork {
        id: NetworkId::from_random(5),
        name: "front".into(),
        created_at: Timestamp(7),
        labels: BTreeMap::from([("a".into(), "b".into())]),
        driver: "macvlan".into(),
        options: BTreeMap::from([("c".into(), "d".into())]),
        internal: true,
        attachable: true,
        pools: vec![model::AddressRange {
            subnet: "10.7.0.0/24".parse().unwrap(),
            range: Some("10.7.0.128/25".parse().unwrap()),
            gateway: IpAddr::from([10, 7, 0, 1]),
            auxiliary: BTreeMap::from([("router".into(), IpAddr::from([10, 7, 0, 2]))]),
        }],
    };
    {
        let (db, contents) = Db::open(&path).unwrap();
        assert!(contents.local_networks.is_empty());
        db.create_network(&network).await.unwrap();
    }
    let (_db, contents) = Db::open(&path).unwrap();
    assert_eq!(contents.local_networks, BTreeMap::from([(network.id, network)]));
}

#[test]
fn the_golden_record_of_format_1_is_read() {
    if std::env::var_os("ORCA_WRITE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, codec::container(&record())).unwrap();
    }
    let bytes = std::fs::read(GOLDEN).unwrap();
    let wire = Message::decode(bytes.as_slice()).unwrap();
    assert_eq!(codec::read_container(wire).unwrap(), record());
    // What is written now is the same, so the file can be made anew only by a new format.
    assert_eq!(codec::container(&record()), bytes);
}

#[test]
fn later_formats_and_damage_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    let put = |table: TableDefinition<'static, &str, &[u8]>, key: &str, bytes: &[u8]| {
        let database = Database::builder().create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(table).unwrap().insert(key, bytes).unwrap();
        transaction.commit().unwrap();
    };
    drop(Db::open(&path).unwrap());
    put(CONTAINERS, "x", &api::agent::ContainerRecord { format: 2, ..Default::default() }.encode_to_vec());
    assert!(matches!(Db::open(&path), Err(Error::Format { found: 2, known: 1, .. })));
    put(CONTAINERS, "x", b"\xff\xff");
    let error = Db::open(&path).unwrap_err().to_string();
    assert!(error.contains("record x"), "{error}");
    let database = Database::builder().create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", 9).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(Db::open(&path), Err(Error::Format { found: 9, .. })));
}

/// A small file system, gone again at the test's end.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Self {
        use nix::mount::{MsFlags, mount};
        let dir = tempfile::tempdir().unwrap();
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some("size=16m")).unwrap();
        Self(dir)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn a_disk_that_was_full_is_got_over_without_a_new_daemon() {
    let disk = Small::mount();
    let (path, ballast) = (disk.0.path().join("agent.db"), disk.0.path().join("ballast"));
    {
        let (db, _) = Db::open(&path).unwrap();
        let mut record = record();
        db.create_container(&record, &[]).await.unwrap();
        // Records that need pages of their own, until the file cannot grow.
        let mut full = File::create(&ballast).unwrap();
        while full.write_all(&[0; 4096]).is_ok() {}
        drop(full);
        record.labels = (0..4000).map(|index| (format!("label-{index}"), "x".repeat(500))).collect();
        let error = db.create_container(&record, &[]).await.unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        // The reason is still told, not that there was one before.
        let error = db.create_container(&record, &[]).await.unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        std::fs::remove_file(&ballast).unwrap();
        db.create_container(&record, &[]).await.unwrap();
    }
    let (_db, contents) = Db::open(&path).unwrap();
    assert_eq!(contents.containers[0].labels.len(), 4000);
}
