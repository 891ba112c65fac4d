//! Other kernels than the one that the tests run on: User-Mode Linux, and Debian's in a virtual machine. Each runs a script as its
//! first process, with the host's file system to read, and prints what it sees in sections.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::busybox;

/// Everything, but for one file.
const PROFILE: &str = "profile orca-test flags=(attach_disconnected,mediate_deleted) {
  file, capability, network, signal,
  deny /etc/passwd r,
}
";

/// What one of them printed, by section.
pub struct Seen(BTreeMap<String, String>);

impl Seen {
    fn of(text: &str, errors: &str) -> Self {
        let text = text.replace('\r', "");
        assert!(text.contains("== done"), "it did not come to its end:\n{text}\n{errors}");
        let sections = text.split("== ").skip(1).filter_map(|section| section.split_once('\n'));
        Self(sections.map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
    }

    /// The text of a section.
    pub fn section(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("no section {name}: {self}"))
    }

    /// Its lines.
    pub fn lines(&self, name: &str) -> Vec<&str> {
        self.section(name).lines().collect()
    }

    /// Fails unless the section has each of these texts.
    pub fn holds(&self, name: &str, texts: &[&str]) {
        for text in texts {
            assert!(self.section(name).contains(text), "{name} lacks {text:?}: {self}");
        }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#?}", self.0)
    }
}

/// A directory with what scripts need: the binary, an image, an AppArmor profile, a place to mount at, and the scripts.
pub fn files(name: &str, scripts: &[(&str, &str)]) -> TempDir {
    let prefix = format!("orca-t{}-{name}-", std::process::id());
    let dir = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
    busybox(dir.path());
    std::fs::create_dir(dir.path().join("vm")).unwrap();
    // Sections of debugging would not fit into the kernel's memory beside containers.
    let strip = Command::new("strip").arg("-o").arg(dir.path().join("orca")).arg(env!("CARGO_BIN_EXE_orca")).status();
    assert!(strip.unwrap().success());
    for (name, text) in scripts {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    std::fs::write(dir.path().join("profile"), PROFILE).unwrap();
    dir
}

/// Runs `init.sh` of the directory in a User-Mode Linux.
pub fn user_mode(dir: &Path) -> Seen {
    std::fs::write(dir.join("disk"), b"DISK".repeat(1 << 18)).unwrap();
    let output = Command::new("timeout")
        .args(["-k", "5", "120", "linux.uml", "mem=1G", "root=/dev/root", "rootfstype=hostfs", "ro", "quiet"])
        .args(["con=null", "con0=null,fd:1", "security=apparmor", "apparmor=1"])
        .arg(format!("ubd0={}", dir.join("disk").display()))
        .arg(format!("uml_dir={}", dir.display()))
        .arg(format!("init={}", dir.join("init.sh").display()))
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Seen::of(&String::from_utf8_lossy(&output.stdout), &String::from_utf8_lossy(&output.stderr))
}

/// Runs `init.sh` of the directory in a virtual machine with Debian's kernel and these arguments of it.
pub fn debian(dir: &Path, arguments: &str) -> Seen {
    let kernel = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kernel");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kernel");
    assert!(Command::new(script).arg(&kernel).status().unwrap().success(), "Debian's kernel can't be had");
    std::os::unix::fs::symlink(&kernel, dir.join("kernel")).unwrap();
    // A machine that is virtual itself may have the device but not the means.
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let has_means = cpu.contains(" vmx") || cpu.contains(" svm");
    if has_means && std::fs::File::options().write(true).read(true).open("/dev/kvm").is_ok() {
        let (text, errors) = emulate(dir, &kernel, arguments, "kvm");
        if text.contains("== ") {
            return Seen::of(&text, &errors);
        }
        eprintln!("KVM does not work here, so that the machine is emulated: {errors}");
    }
    let (text, errors) = emulate(dir, &kernel, arguments, "tcg,thread=multi");
    Seen::of(&text, &errors)
}

/// What the machine and what the emulator and the kernel said.
fn emulate(dir: &Path, kernel: &Path, arguments: &str, accelerator: &str) -> (String, String) {
    let console = dir.join("console");
    let init = dir.join("init.sh");
    let output = Command::new("timeout")
        .args(["-k", "5", "540", "qemu-system-x86_64", "-M", "q35", "-cpu", "max", "-smp", "2", "-m", "1536"])
        .args(["-accel", accelerator, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(kernel.join("vmlinuz"))
        .arg("-initrd")
        .arg(kernel.join("initrd"))
        .arg("-append")
        .arg(format!("console=ttyS0 quiet loglevel=4 panic=-1 no_timer_check {arguments} orca_init={}", init.display()))
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .args(["-device", "virtio-serial-pci", "-chardev", "stdio,id=out,signal=off"])
        .args(["-device", "virtconsole,chardev=out"])
        .args(["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"])
        .args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = std::fs::read_to_string(&console).unwrap_or_default();
    let errors = format!("{}\n{said}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8_lossy(&output.stdout).into_owned(), errors)
}
