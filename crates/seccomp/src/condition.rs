//! Conditions on arguments. An argument has 64 bits and BPF compares 32: the upper half first, then the lower.

use barge_oci::runtime::{LinuxSeccompArg, SeccompOperator};

use crate::{
    arch::Width,
    program::{AND, ARGUMENTS, IF_EQUAL, IF_GREATER, IF_NOT_LESS, Instruction, LOAD},
};

/// Where a comparison leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To the next step.
    On,
    /// The condition holds: to the end of its steps.
    Holds,
    /// It does not: behind the rule.
    Fails,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Load(u32),
    And(u32),
    /// Operation, operand, and the ways when true and when false.
    Test(u16, u32, Way, Way),
}

/// Code that falls through to `then` when all the conditions hold, and jumps behind it when one does not.
pub(crate) fn rule(
    conditions: &[LinuxSeccompArg],
    width: Width,
    then: Instruction,
) -> Vec<Instruction> {
    let blocks: Vec<Vec<Step>> = conditions.iter().map(|one| steps(one, width)).collect();
    let length = blocks.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(length);
    for block in blocks {
        let end = code.len() + block.len();
        for step in block {
            // At most six conditions of five steps: every jump fits.
            let here = code.len() + 1;
            let distance = |way| {
                let target = match way {
                    Way::On => here,
                    Way::Holds => end,
                    Way::Fails => length,
                };
                u8::try_from(target - here).unwrap_or(u8::MAX)
            };
            code.push(match step {
                Step::Load(offset) => Instruction::new(LOAD, offset),
                Step::And(mask) => Instruction::new(AND, mask),
                Step::Test(operation, operand, yes, no) => Instruction {
                    jump_true: distance(yes),
                    jump_false: distance(no),
                    ..Instruction::new(operation, operand)
                },
            });
        }
    }
    code.push(then);
    code
}

/// How many values a list has at most: its jumps reach 255 instructions.
pub(crate) const LONGEST_LIST: usize = 200;

/// Whether two rules ask for equality of the same argument with numbers of the same upper half.
pub(crate) fn are_one_list(left: &[LinuxSeccompArg], right: &[LinuxSeccompArg]) -> bool {
    let ([left], [right]) = (left, right) else {
        return false;
    };
    left.op == SeccompOperator::Equal
        && right.op == SeccompOperator::Equal
        && left.index == right.index
        && halves(left.value).0 == halves(right.value).0
}

/// Code that falls through to `then` when the argument is one of the values (which [`are_one_list`], and are at most
/// [`LONGEST_LIST`]), and jumps behind it when not.
pub(crate) fn list(
    values: &[LinuxSeccompArg],
    width: Width,
    then: Instruction,
) -> Vec<Instruction> {
    let Some(first) = values.first() else {
        return Vec::new();
    };
    let low = ARGUMENTS + 8 * first.index;
    let count = u8::try_from(values.len()).unwrap_or(u8::MAX);
    let mut code = Vec::with_capacity(values.len() + 4);
    if width == Width::Bits64 {
        code.push(Instruction::new(LOAD, low + 4));
        code.push(Instruction {
            // Over the load, the comparisons and the end.
            jump_false: count + 2,
            ..Instruction::new(IF_EQUAL, halves(first.value).0)
        });
    }
    code.push(Instruction::new(LOAD, low));
    for (left, value) in (0..count).rev().zip(values) {
        code.push(Instruction {
            jump_true: left,
            jump_false: u8::from(left == 0),
            ..Instruction::new(IF_EQUAL, halves(value.value).1)
        });
    }
    code.push(then);
    code
}

/// Upper and lower half.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

fn steps(condition: &LinuxSeccompArg, width: Width) -> Vec<Step> {
    // Little-endian, as every architecture of this crate.
    let low = ARGUMENTS + 8 * condition.index;
    let high = low + 4;
    let (value_high, value_low) = halves(condition.value);
    let (on, holds, fails) = (Way::On, Way::Holds, Way::Fails);
    let test = Step::Test;
    if width == Width::Bits32 {
        // The kernel extends 32-bit arguments by zeros. libseccomp compares with the lower half too.
        let comparison = match condition.op {
            SeccompOperator::Equal => test(IF_EQUAL, value_low, holds, fails),
            SeccompOperator::NotEqual => test(IF_EQUAL, value_low, fails, holds),
            SeccompOperator::Greater => test(IF_GREATER, value_low, holds, fails),
            SeccompOperator::GreaterOrEqual => test(IF_NOT_LESS, value_low, holds, fails),
            SeccompOperator::Less => test(IF_NOT_LESS, value_low, fails, holds),
            SeccompOperator::LessOrEqual => test(IF_GREATER, value_low, fails, holds),
            SeccompOperator::MaskedEqual => return masked(condition, width),
        };
        return vec![Step::Load(low), comparison];
    }
    match condition.op {
        SeccompOperator::Equal => vec![
            Step::Load(high),
            test(IF_EQUAL, value_high, on, fails),
            Step::Load(low),
            test(IF_EQUAL, value_low, holds, fails),
        ],
        SeccompOperator::NotEqual => vec![
            Step::Load(high),
            test(IF_EQUAL, value_high, on, holds),
            Step::Load(low),
            test(IF_EQUAL, value_low, fails, holds),
        ],
        SeccompOperator::Greater | SeccompOperator::GreaterOrEqual => {
            let last =
                if condition.op == SeccompOperator::Greater { IF_GREATER } else { IF_NOT_LESS };
            vec![
                Step::Load(high),
                test(IF_GREATER, value_high, holds, on),
                test(IF_EQUAL, value_high, on, fails),
                Step::Load(low),
                test(last, value_low, holds, fails),
            ]
        }
        SeccompOperator::Less | SeccompOperator::LessOrEqual => {
            let last = if condition.op == SeccompOperator::Less { IF_NOT_LESS } else { IF_GREATER };
            vec![
                Step::Load(high),
                test(IF_GREATER, value_high, fails, on),
                test(IF_EQUAL, value_high, on, holds),
                Step::Load(low),
                test(last, value_low, fails, holds),
            ]
        }
        SeccompOperator::MaskedEqual => masked(condition, width),
    }
}

/// `argument & value == value_two`; a half that the mask leaves out needs no look.
fn masked(condition: &LinuxSeccompArg, width: Width) -> Vec<Step> {
    let low = ARGUMENTS + 8 * condition.index;
    let (mask_high, mask_low) = halves(condition.value);
    let (wanted_high, wanted_low) = halves(condition.value_two);
    let mut steps = Vec::with_capacity(6);
    let skip_high = mask_high == 0 && wanted_high == 0;
    if width == Width::Bits64 && !skip_high {
        steps.push(Step::Load(low + 4));
        steps.push(Step::And(mask_high));
        steps.push(Step::Test(IF_EQUAL, wanted_high, Way::On, Way::Fails));
    }
    steps.push(Step::Load(low));
    steps.push(Step::And(mask_low));
    steps.push(Step::Test(IF_EQUAL, wanted_low, Way::Holds, Way::Fails));
    steps
}
