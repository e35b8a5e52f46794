//! Stages that need themselves, by way of others or at once.

use std::collections::BTreeSet;

/// The stages of a circle that is reached from one, each of which needs the next one.
pub(crate) fn find(from: usize, needs: &dyn Fn(usize) -> Vec<usize>) -> Option<Vec<usize>> {
    go(from, needs, (&mut Vec::new(), &mut BTreeSet::new()))
}

fn go(
    index: usize,
    needs: &dyn Fn(usize) -> Vec<usize>,
    (way, done): (&mut Vec<usize>, &mut BTreeSet<usize>),
) -> Option<Vec<usize>> {
    if let Some(start) = way.iter().position(|&stage| stage == index) {
        return Some(way[start..].to_vec());
    }
    if done.contains(&index) {
        return None;
    }
    way.push(index);
    let found = needs(index).into_iter().find_map(|other| go(other, needs, (way, done)));
    way.pop();
    done.insert(index);
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn stages_that_need_themselves_are_found() {
        let found =
            |from: usize, needs: &[&[usize]]| super::find(from, &|stage| needs[stage].to_vec());
        assert_eq!(found(3, &[&[], &[0], &[0], &[1, 2]]), None);
        assert_eq!(found(0, &[&[1], &[2], &[0]]), Some(vec![0, 1, 2]));
        assert_eq!(found(0, &[&[0]]), Some(vec![0]));
        assert_eq!(found(2, &[&[1], &[0], &[0]]), Some(vec![0, 1]));
    }
}
