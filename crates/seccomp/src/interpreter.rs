//! Runs a filter as the kernel would, for the tests. It knows the operations this crate emits and no others.

use crate::{
    Filter,
    program::{AND, IF_EQUAL, IF_GREATER, IF_NOT_LESS, JUMP, LOAD, RETURN},
};

/// A system call as a filter sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) audit: u32,
    pub(crate) number: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    /// `struct seccomp_data`, little-endian; the instruction pointer is of no interest.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.audit.to_le_bytes());
        bytes.extend([0; 8]);
        for argument in self.arguments {
            bytes.extend(argument.to_le_bytes());
        }
        bytes
    }
}

/// The filter's answer, and whether it looked at an argument.
pub(crate) fn run(filter: &Filter, call: &Call) -> (u32, bool) {
    let data = call.bytes();
    let mut accumulator = 0;
    let mut looked = false;
    let mut place = 0;
    loop {
        let instruction = filter.instructions()[place];
        let operand = instruction.operand;
        place += 1;
        let mut branch = |condition: bool| {
            let (yes, no) = (instruction.jump_true, instruction.jump_false);
            place += usize::from(if condition { yes } else { no });
        };
        match instruction.code {
            LOAD => {
                let offset = usize::try_from(operand).unwrap();
                looked |= offset >= 16;
                accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
            }
            AND => accumulator &= operand,
            JUMP => place += usize::try_from(operand).unwrap(),
            IF_EQUAL => branch(accumulator == operand),
            IF_GREATER => branch(accumulator > operand),
            IF_NOT_LESS => branch(accumulator >= operand),
            RETURN => return (operand, looked),
            other => panic!("unknown operation {other:#x}"),
        }
    }
}
