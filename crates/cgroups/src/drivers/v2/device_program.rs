//! Compiles device rules to eBPF (`BPF_PROG_TYPE_CGROUP_DEVICE`).
//!
//! The program gets `struct bpf_cgroup_dev_ctx { u32 access_type, major, minor }`, with the access wanted in the upper
//! half of `access_type` and the kind in the lower (linux/bpf.h), and returns 1 to allow. It looks at the exceptions
//! one after the other; a container has some fifteen of them.

use crate::device_rules::{Access, Device, DeviceTable, Kind, Verdict};

/// Operation codes, from linux/bpf.h and linux/bpf_common.h.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE_REGISTER: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const MOVE: u8 = 0xb4; // BPF_ALU | BPF_MOV | BPF_K
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const JUMP_IF_NOT: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const JUMP_IF: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

/// Registers by their use.
const RESULT: u8 = 0;
/// The context on entry; scratch once everything is loaded.
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// One instruction: `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: u32,
}

impl Instruction {
    fn new(code: u8, destination: u8, immediate: u32) -> Self {
        Self { code, destination, source: 0, offset: 0, immediate }
    }

    fn encode(self) -> u64 {
        let mut bytes = [0; 8];
        bytes[0] = self.code;
        bytes[1] = self.source << 4 | self.destination;
        bytes[2..4].copy_from_slice(&self.offset.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.immediate.to_ne_bytes());
        u64::from_ne_bytes(bytes)
    }
}

/// The program's words, as the kernel takes them.
pub(super) fn compile(table: &DeviceTable) -> Vec<u64> {
    let load = |register, offset| Instruction {
        source: CONTEXT,
        offset,
        ..Instruction::new(LOAD_WORD, register, 0)
    };
    let mut program = vec![
        load(KIND, 0),
        Instruction { source: KIND, ..Instruction::new(MOVE_REGISTER, ACCESS, 0) },
        Instruction::new(AND, KIND, 0xffff),
        Instruction::new(SHIFT_RIGHT, ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    let (default, other) = match table.default {
        Verdict::Deny => (0, 1),
        Verdict::Allow => (1, 0),
    };
    for (device, access) in &table.exceptions {
        program.extend(exception(*device, *access, table.default, other));
    }
    program.push(Instruction::new(MOVE, RESULT, default));
    program.push(Instruction::new(EXIT, 0, 0));
    program.into_iter().map(Instruction::encode).collect()
}

/// Returns `verdict` when the device and the access match; falls through when not.
fn exception(device: Device, access: Access, default: Verdict, verdict: u32) -> Vec<Instruction> {
    // BPF_DEVCG_DEV_BLOCK and …CHAR.
    let kind = match device.kind {
        Kind::Block => 1,
        Kind::Char => 2,
    };
    let mut block = vec![Instruction::new(JUMP_IF_NOT, KIND, kind)];
    if let Some(major) = device.major {
        block.push(Instruction::new(JUMP_IF_NOT, MAJOR, major));
    }
    if let Some(minor) = device.minor {
        block.push(Instruction::new(JUMP_IF_NOT, MINOR, minor));
    }
    let scratch = Instruction { source: ACCESS, ..Instruction::new(MOVE_REGISTER, CONTEXT, 0) };
    match default {
        // Allowed only when nothing is wanted beyond the exception; denied as soon as something of it is.
        Verdict::Deny if access == Access::ALL => {}
        Verdict::Deny => block.extend([
            scratch,
            Instruction::new(AND, CONTEXT, u32::from(!access.0 & Access::ALL.0)),
            Instruction::new(JUMP_IF_NOT, CONTEXT, 0),
        ]),
        Verdict::Allow => block.extend([
            scratch,
            Instruction::new(AND, CONTEXT, access.0.into()),
            Instruction::new(JUMP_IF, CONTEXT, 0),
        ]),
    }
    block.push(Instruction::new(MOVE, RESULT, verdict));
    block.push(Instruction::new(EXIT, 0, 0));
    // Every jump goes to the end of the block: at most ten instructions on.
    let length = block.len();
    for (place, instruction) in block.iter_mut().enumerate() {
        if matches!(instruction.code, JUMP_IF | JUMP_IF_NOT) {
            instruction.offset = i16::try_from(length - place - 1).unwrap_or(i16::MAX);
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_rules::tests::rule;

    /// Runs a program as the kernel would.
    fn run(program: &[u64], (kind, access): (u32, u32), (major, minor): (u32, u32)) -> bool {
        let mut registers = [0_u32; 6];
        let mut place = 0;
        loop {
            let bytes = program[place].to_ne_bytes();
            let destination = usize::from(bytes[1] & 15);
            let source = usize::from(bytes[1] >> 4);
            let offset = i16::from_ne_bytes([bytes[2], bytes[3]]);
            let immediate = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            let jump = usize::try_from(offset).unwrap();
            place += 1;
            match bytes[0] {
                LOAD_WORD => {
                    registers[destination] = match offset {
                        0 => access << 16 | kind,
                        4 => major,
                        8 => minor,
                        _ => panic!("outside the context"),
                    };
                }
                MOVE_REGISTER => registers[destination] = registers[source],
                MOVE => registers[destination] = immediate,
                AND => registers[destination] &= immediate,
                SHIFT_RIGHT => registers[destination] >>= immediate,
                JUMP_IF if registers[destination] == immediate => place += jump,
                JUMP_IF_NOT if registers[destination] != immediate => place += jump,
                JUMP_IF | JUMP_IF_NOT => {}
                EXIT => return registers[0] == 1,
                other => panic!("unknown code {other:#x}"),
            }
        }
    }

    fn program(rules: &[&str]) -> Vec<u64> {
        let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
        compile(&DeviceTable::from_rules(&rules).unwrap())
    }

    const CHAR: u32 = 2;
    const BLOCK: u32 = 1;

    #[test]
    fn only_the_exceptions_of_a_deny_list_are_allowed() {
        let program = program(&["deny a", "allow c 1:3 rw", "allow b *:* m"]);
        assert!(run(&program, (CHAR, 2), (1, 3)));
        assert!(run(&program, (CHAR, 6), (1, 3)));
        assert!(!run(&program, (CHAR, 1), (1, 3)), "mknod was not allowed");
        assert!(!run(&program, (CHAR, 7), (1, 3)));
        assert!(!run(&program, (CHAR, 2), (1, 5)));
        assert!(!run(&program, (BLOCK, 2), (1, 3)));
        assert!(run(&program, (BLOCK, 1), (8, 0)));
    }

    #[test]
    fn any_denied_part_of_an_access_denies_it() {
        let program = program(&["allow a", "deny c 1:3 w"]);
        assert!(run(&program, (CHAR, 2), (1, 3)));
        assert!(!run(&program, (CHAR, 6), (1, 3)));
        assert!(run(&program, (CHAR, 6), (1, 5)));
        assert!(run(&program, (BLOCK, 7), (8, 0)));
    }
}
