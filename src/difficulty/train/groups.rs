//! Near-duplicates: prompts that share their rare phrases belong to one group, which is never split between training
//! and test.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

/// Words in a phrase.
const PHRASE: usize = 6;
/// Prompts with a phrase are compared with so many next ones that have it: of a dozen each with each, of more one with
/// another.
const COMPARED: usize = 12;

/// A phrase in more prompts than this is a template's, and says nothing. No count tells a document that is often asked
/// about from a template; but groups of more than a fiftieth of all prompts are too few to be parted, and a document has
/// not more than a hundred.
fn common(prompts: usize) -> usize {
    (prompts / 50).clamp(12, 100)
}

/// The group of each text, a uniform hash: of the smallest hash of its members, so that their order does not matter.
pub fn groups(texts: &[String]) -> Vec<u64> {
    let phrases: Vec<Vec<u64>> = texts.iter().map(|text| phrases(text)).collect();
    let hashes: Vec<u64> = texts.iter().map(|text| hash(text.as_bytes())).collect();
    let mut holders = holders(&phrases);
    holders.retain(|_, texts| texts.len() <= common(phrases.len()));
    // What comes next must not depend on the order of texts.
    holders.values_mut().for_each(|texts| texts.sort_by_key(|&i| hashes[i as usize]));
    let rare: Vec<usize> =
        phrases.iter().map(|of| of.iter().filter(|phrase| holders.contains_key(phrase)).count()).collect();
    let mut parents: Vec<u32> = (0..texts.len() as u32).collect();
    for ((a, b), shared) in shared(&holders) {
        let fewer = rare[a as usize].min(rare[b as usize]).max(3);
        if shared as f64 >= 0.4 * fewer as f64 {
            let (a, b) = (root(&mut parents, a), root(&mut parents, b));
            parents[a as usize] = b;
        }
    }
    let mut smallest: HashMap<u32, u64> = HashMap::new();
    for (i, hash) in hashes.iter().enumerate() {
        let least = smallest.entry(root(&mut parents, i as u32)).or_insert(u64::MAX);
        *least = (*hash).min(*least);
    }
    (0..texts.len() as u32).map(|i| hash(&smallest[&root(&mut parents, i)].to_le_bytes())).collect()
}

/// Hashes of the distinct runs of [`PHRASE`] words; of the whole text, if it is shorter.
fn phrases(text: &str) -> Vec<u64> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut phrases: Vec<u64> =
        words.windows(PHRASE.min(words.len()).max(1)).map(|run| FixedState::default().hash_one(run)).collect();
    phrases.sort_unstable();
    phrases.dedup();
    phrases
}

/// The texts that hold each phrase.
fn holders(phrases: &[Vec<u64>]) -> HashMap<u64, Vec<u32>, FixedState> {
    let mut holders: HashMap<u64, Vec<u32>, FixedState> = HashMap::default();
    for (i, of) in phrases.iter().enumerate() {
        of.iter().for_each(|&phrase| holders.entry(phrase).or_default().push(i as u32));
    }
    holders
}

/// How many rare phrases pairs of texts share.
fn shared(holders: &HashMap<u64, Vec<u32>, FixedState>) -> HashMap<(u32, u32), u32> {
    let mut shared = HashMap::new();
    for texts in holders.values() {
        for (i, &a) in texts.iter().enumerate() {
            texts[i + 1..].iter().take(COMPARED).for_each(|&b| *shared.entry((a, b)).or_default() += 1);
        }
    }
    shared
}

fn root(parents: &mut [u32], mut i: u32) -> u32 {
    while parents[i as usize] != i {
        parents[i as usize] = parents[parents[i as usize] as usize];
        i = parents[i as usize];
    }
    i
}

fn hash(bytes: &[u8]) -> u64 {
    FixedState::default().hash_one(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_that_share_rare_phrases_are_one_group_and_templates_are_not() {
        let template = "Answer with the letter of the right choice and nothing else please:";
        let mut texts: Vec<String> = (0..20u32)
            .map(|i| format!("{template} {}", (0..20).map(|j| format!("w{i}x{j} ")).collect::<String>()))
            .collect();
        texts.push(format!("Please think. {}", &texts[3][template.len()..]));
        let groups = groups(&texts);
        assert_eq!(groups[20], groups[3]);
        assert_eq!(distinct(&groups[..20]), 20);
    }

    fn distinct(groups: &[u64]) -> usize {
        groups.iter().collect::<std::collections::BTreeSet<_>>().len()
    }

    /// `of` texts that begin with each of `beginnings`, and end each in its own way.
    fn beginning(beginnings: &[String], of: usize) -> Vec<String> {
        let end = |i: usize| (0..9).map(|j| format!("e{i}x{j} ")).collect::<String>();
        (0..beginnings.len() * of).map(|i| format!("{} {}", beginnings[i % beginnings.len()], end(i))).collect()
    }

    #[test]
    fn questions_about_one_document_are_one_group_and_what_follows_a_long_template_is_not() {
        let words = |i: usize| (0..60).map(|j| format!("d{i}x{j} ")).collect::<String>();
        let documents: Vec<String> = (0..70).map(words).collect();
        assert_eq!(distinct(&groups(&beginning(&documents, 14))), 70);
        assert_eq!(distinct(&groups(&beginning(&documents[..5], 40))), 200);
    }

    #[test]
    fn a_group_does_not_depend_on_the_order_of_texts() {
        let texts = ["", "a b", "a b c d e f g h", "x a b c d e f g h"].map(String::from);
        let (forth, back) = (groups(&texts), groups(&texts.iter().rev().cloned().collect::<Vec<_>>()));
        assert_eq!(forth, back.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(forth[2], forth[3]);
        assert_ne!(forth[0], forth[1]);
    }
}
