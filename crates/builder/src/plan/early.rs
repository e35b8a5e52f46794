//! What is wrong with an instruction whatever variables are: found before the first step runs, as BuildKit finds it.

use barge_dockerfile::ast::Instruction;
use barge_oci::image::ImageConfig;

use crate::error::Result;
use crate::metadata;
use crate::words::Words;

/// Refuses ports and signals that are none.
pub(super) fn check(instruction: &Instruction, words: Words) -> Result<()> {
    let nothing = |_: &str| None;
    let is_fixed = |text: &&String| !text.contains('$');
    let mut config = ImageConfig::default();
    if let Instruction::Expose(texts) = instruction {
        for text in texts.iter().filter(is_fixed) {
            metadata::expose(&mut config, &words.many(text, &nothing)?)?;
        }
    } else if let Instruction::Stopsignal(text) = instruction
        && is_fixed(&text)
    {
        metadata::stop_signal(&mut config, &words.one(text, &nothing)?)?;
    }
    Ok(())
}
