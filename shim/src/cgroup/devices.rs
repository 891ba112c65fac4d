//! The device filter on cgroup v2, where it is a BPF program attached to the container's cgroup
//! (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE). libcontainer loads one only by way of a C library, which Orca does without.
//!
//! [`program`] is pure: rules to instructions. A rule that comes later outdoes those before it, as on v1.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use serde::Deserialize;

use crate::error::{Result, ShimError};

/// One rule of `linux.resources.devices`. (OCI runtime-spec, "Allowed Device list")
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rule {
    allow: bool,
    #[serde(rename = "type", default)]
    kind: Option<char>,
    #[serde(default)]
    major: Option<i64>,
    #[serde(default)]
    minor: Option<i64>,
    #[serde(default)]
    access: Option<String>,
}

/// struct bpf_insn (linux/bpf.h): code, registers (destination in the low half), offset, immediate.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

// Opcodes: class, operation and source. (linux/bpf_common.h, linux/bpf.h)
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const COPY: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const SET: u8 = 0xb4; // BPF_ALU | BPF_MOV | BPF_K
const SKIP_IF_EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const SKIP_UNLESS_EQUAL: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const SKIP_UNLESS_SAME: u8 = 0x5d; // BPF_JMP | BPF_JNE | BPF_X
const RETURN: u8 = 0x95; // BPF_JMP | BPF_EXIT

// Where things are kept: r1 holds the context at first and is scratch then.
const RESULT: u8 = 0;
const SCRATCH: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// BPF_DEVCG_ACC_MKNOD, _READ and _WRITE together.
const EVERY_ACCESS: i32 = 7;

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: source << 4 | destination, offset, immediate }
}

impl Rule {
    /// BPF_DEVCG_DEV_BLOCK or _CHAR; `None` is both.
    fn kind(&self) -> Result<Option<i32>> {
        match self.kind {
            None | Some('a') => Ok(None),
            Some('b') => Ok(Some(1)),
            Some('c' | 'u') => Ok(Some(2)),
            Some(other) => Err(ShimError::DeviceRule(format!("its type {other:?} is none of a, b, c"))),
        }
    }

    fn access(&self) -> Result<i32> {
        let bit = |letter| match letter {
            'm' => Ok(1),
            'r' => Ok(2),
            'w' => Ok(4),
            other => Err(ShimError::DeviceRule(format!("its access {other:?} is none of r, w, m"))),
        };
        match self.access.as_deref() {
            None | Some("") => Ok(EVERY_ACCESS),
            Some(text) => text.chars().map(bit).try_fold(0, |bits, bit| Ok(bits | bit?)),
        }
    }

    fn number(value: Option<i64>) -> Result<Option<i32>> {
        match value {
            None | Some(-1) => Ok(None),
            Some(value) => match u32::try_from(value).map(i32::try_from) {
                Ok(Ok(number)) => Ok(Some(number)),
                _ => Err(ShimError::DeviceRule(format!("{value} is not a device number"))),
            },
        }
    }

    /// The conditions under which the rule decides, each with its jump still to be aimed past the rule.
    fn conditions(&self) -> Result<Vec<Instruction>> {
        let mut code = Vec::new();
        if let Some(kind) = self.kind()? {
            code.push(instruction(SKIP_UNLESS_EQUAL, KIND, 0, 0, kind));
        }
        let access = self.access()?;
        if access != EVERY_ACCESS {
            code.push(instruction(COPY, SCRATCH, ACCESS, 0, 0));
            code.push(instruction(AND, SCRATCH, 0, 0, access));
            // All that is wanted must be allowed; anything of it that is denied denies it.
            code.push(match self.allow {
                true => instruction(SKIP_UNLESS_SAME, SCRATCH, ACCESS, 0, 0),
                false => instruction(SKIP_IF_EQUAL, SCRATCH, 0, 0, 0),
            });
        }
        for (register, number) in [(MAJOR, self.major), (MINOR, self.minor)] {
            if let Some(number) = Self::number(number)? {
                code.push(instruction(SKIP_UNLESS_EQUAL, register, 0, 0, number));
            }
        }
        Ok(code)
    }
}

/// The filter: the last rule that concerns an access decides; none denies.
fn program(rules: &[Rule]) -> Result<Vec<Instruction>> {
    // struct bpf_cgroup_dev_ctx: access and type in one word, major, minor.
    let mut code = vec![
        instruction(LOAD_WORD, KIND, SCRATCH, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(LOAD_WORD, ACCESS, SCRATCH, 0, 0),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, SCRATCH, 4, 0),
        instruction(LOAD_WORD, MINOR, SCRATCH, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let mut conditions = rule.conditions()?;
        let always = conditions.is_empty();
        let length = conditions.len();
        for (index, condition) in conditions.iter_mut().enumerate() {
            if matches!(condition.code, SKIP_IF_EQUAL | SKIP_UNLESS_EQUAL | SKIP_UNLESS_SAME) {
                // Over the conditions that follow, the verdict and the return.
                condition.offset = i16::try_from(length - index - 1 + 2).unwrap_or(i16::MAX);
            }
        }
        code.extend(conditions);
        code.push(instruction(SET, RESULT, 0, 0, i32::from(rule.allow)));
        code.push(instruction(RETURN, 0, 0, 0, 0));
        if always {
            // The kernel refuses programs with parts that are never reached.
            return Ok(code);
        }
    }
    code.push(instruction(SET, RESULT, 0, 0, 0));
    code.push(instruction(RETURN, 0, 0, 0, 0));
    Ok(code)
}

/// Filters what the processes in cgroup `dir` may do with devices. Rules that allow everything need no filter.
///
/// # Errors
/// If a rule makes no sense, or the kernel has no BPF for cgroups.
pub fn restrict(dir: &Path, rules: &[Rule]) -> Result<()> {
    let code = program(rules)?;
    let allows_all = [instruction(SET, RESULT, 0, 0, 1), instruction(RETURN, 0, 0, 0, 0)];
    if code.get(6..) == Some(&allows_all) {
        return Ok(());
    }
    let group = File::open(dir).map_err(ShimError::io("open cgroup", dir))?;
    let filter = load(&code).map_err(ShimError::system("load the device filter (a kernel with CONFIG_CGROUP_BPF)"))?;
    attach(&group, &filter).map_err(ShimError::system("attach the device filter"))
}

/// The first fields of union bpf_attr for BPF_PROG_LOAD; what is left out is zero.
#[repr(C)]
struct LoadOrder {
    kind: u32,
    count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// Union bpf_attr for BPF_PROG_ATTACH.
#[repr(C)]
struct AttachOrder {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn load(code: &[Instruction]) -> std::io::Result<OwnedFd> {
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    let order = LoadOrder {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(code.len()).unwrap_or(u32::MAX),
        instructions: code.as_ptr() as u64,
        licence: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    let fd = bpf(BPF_PROG_LOAD, &order)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attach(group: &File, filter: &OwnedFd) -> std::io::Result<()> {
    const BPF_PROG_ATTACH: i32 = 8;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let order = AttachOrder {
        target: group.as_raw_fd().unsigned_abs(),
        program: filter.as_raw_fd().unsigned_abs(),
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    bpf(BPF_PROG_ATTACH, &order).map(drop)
}

fn bpf<T>(command: i32, order: &T) -> std::io::Result<i32> {
    let size = size_of::<T>();
    // SAFETY: bpf(2) reads `size` bytes of the order and what its pointers name, all of which outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(order), size) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(i32::try_from(result).unwrap_or(-1)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs the program as the kernel would, as far as it uses the machine.
    fn run(code: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u64; 6];
        let mut at = 0;
        loop {
            let Instruction { code, registers: which, offset, immediate } = code[at];
            let (to, from) = (usize::from(which & 15), usize::from(which >> 4));
            let skip = |yes: bool| if yes { usize::try_from(offset).unwrap() } else { 0 };
            at += 1;
            match code {
                LOAD_WORD => registers[to] = context[usize::try_from(offset).unwrap() / 4].into(),
                AND => registers[to] &= immediate as u64,
                SHIFT_RIGHT => registers[to] >>= immediate,
                COPY => registers[to] = registers[from],
                SET => registers[to] = immediate as u64,
                SKIP_IF_EQUAL => at += skip(registers[to] == immediate as u64),
                SKIP_UNLESS_EQUAL => at += skip(registers[to] != immediate as u64),
                SKIP_UNLESS_SAME => at += skip(registers[to] != registers[from]),
                RETURN => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn rule(allow: bool, kind: char, major: Option<i64>, minor: Option<i64>, access: &str) -> Rule {
        Rule { allow, kind: Some(kind), major, minor, access: Some(access.into()) }
    }

    #[test]
    fn later_rules_outdo_earlier_ones() {
        let rules = [
            rule(false, 'a', None, None, "rwm"),
            rule(true, 'c', None, None, "m"),
            rule(true, 'c', Some(1), Some(3), "rwm"),
            rule(true, 'b', Some(8), None, "r"),
            rule(false, 'c', Some(1), Some(9), "w"),
        ];
        let code = program(&rules).unwrap();
        let may = |kind, access, major, minor| run(&code, kind, access, major, minor);
        assert!(may(2, 7, 1, 3), "null");
        assert!(may(2, 1, 10, 200), "any node may be made");
        assert!(!may(2, 2, 10, 200), "but not read");
        assert!(may(1, 2, 8, 17) && !may(1, 6, 8, 17) && !may(1, 4, 8, 17), "reading disks");
        assert!(!may(2, 4, 1, 9) && !may(2, 5, 1, 9) && may(2, 1, 1, 9), "writing is denied, whatever else is wanted");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in
            [rule(true, 'x', None, None, "r"), rule(true, 'c', None, None, "q"), rule(true, 'c', Some(-7), None, "r")]
        {
            assert!(matches!(program(&[bad]), Err(ShimError::DeviceRule(_))));
        }
        // Everything is allowed: no filter, whose cgroup need not even be there.
        assert!(restrict(Path::new("/nonexistent"), &[rule(true, 'a', None, None, "rwm")]).is_ok());
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let kind = prop::sample::select(vec!['a', 'b', 'c']);
        let access = prop::sample::select(vec!["r", "w", "m", "rw", "rm", "rwm"]);
        (any::<bool>(), kind, prop::option::of(0..4i64), prop::option::of(0..4i64), access)
            .prop_map(|(allow, kind, major, minor, access)| rule(allow, kind, major, minor, access))
    }

    proptest! {
        #[test]
        fn the_program_does_what_the_rules_say(
            rules in prop::collection::vec(any_rule(), 0..8),
            kind in 1..3u32, access in 1..8u32, major in 0..4u32, minor in 0..4u32,
        ) {
            let concerns = |rule: &&Rule| {
                let bits = u32::try_from(rule.access().unwrap()).unwrap();
                let wanted = if rule.allow { access & bits == access } else { access & bits != 0 };
                wanted
                    && rule.kind().unwrap().is_none_or(|own| own.unsigned_abs() == kind)
                    && rule.major.is_none_or(|own| own == i64::from(major))
                    && rule.minor.is_none_or(|own| own == i64::from(minor))
            };
            let expected = rules.iter().rev().find(concerns).is_some_and(|rule| rule.allow);
            let code = program(&rules).unwrap();
            prop_assert_eq!(run(&code, kind, access, major, minor), expected);
            // All jumps stay inside, and every instruction is reached by falling through or by a jump.
            let targets: Vec<usize> = code.iter().enumerate()
                .filter(|(_, i)| i.offset > 0 && i.code != LOAD_WORD)
                .map(|(at, i)| at + 1 + usize::try_from(i.offset).unwrap()).collect();
            prop_assert!(targets.iter().all(|target| *target < code.len()));
            for at in 1..code.len() {
                prop_assert!(code[at - 1].code != RETURN || targets.contains(&at), "unreachable {at}");
            }
        }
    }
}
