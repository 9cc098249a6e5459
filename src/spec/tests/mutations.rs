//! Files as broken as chance makes them: never a panic, always a place inside the file.

use proptest::prelude::*;

use super::*;
use crate::spec::check_every_env;
use crate::spec::template::templates;

/// A small generator, so that the same 500 files are made on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }
}

const INSERTED: [&str; 16] = [
    "\"",
    "'",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ",",
    "\n",
    "\\",
    "\u{0}",
    "é",
    "名",
    "\"\"\"",
    "99999999999999999999",
];

/// The pieces of a text that a person would move: words, blanks, and single signs.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for c in text.chars() {
        match tokens.last_mut() {
            Some(last) if c.is_alphanumeric() && last.chars().all(char::is_alphanumeric) => last.push(c),
            _ => tokens.push(c.to_string()),
        }
    }
    tokens
}

fn mutate(mut parts: Vec<String>, chance: &mut Chance) -> String {
    for _ in 0..=chance.below(4) {
        let at = chance.below(parts.len());
        let other = chance.below(parts.len());
        match chance.below(4) {
            0 => drop(parts.remove(at)),
            1 => parts.insert(at, parts[at].clone()),
            2 => parts.swap(at, other),
            _ => parts.insert(at, INSERTED[chance.below(INSERTED.len())].to_owned()),
        }
    }
    parts.concat()
}

fn assert_sound(text: &str, env: &str) {
    let lines = text.split('\n').count() as u64;
    for result in [
        parse(text, "pipeline.toml", env).map(drop),
        check_every_env(text, "pipeline.toml", env),
    ] {
        let Err(report) = result else { continue };
        assert!(!report.diagnostics().is_empty());
        assert!(!report.to_string().is_empty());
        let json = serde_json::to_value(&report).expect("a report is JSON");
        for fault in json.as_array().expect("a report is a list") {
            let number = |key: &str| fault[key].as_u64().expect("a number");
            assert!(
                (1..=lines).contains(&number("line")) && (1..=lines).contains(&number("end_line")),
                "{fault}"
            );
            let line = text
                .split('\n')
                .nth(number("line") as usize - 1)
                .expect("a line of the file");
            assert!(
                (1..=line.chars().count() as u64 + 1).contains(&number("column")),
                "{fault}"
            );
            assert!(
                (number("line"), number("column")) <= (number("end_line"), number("end_column")),
                "{fault}"
            );
        }
    }
}

#[test]
fn five_hundred_mutations_of_the_template_never_panic_and_always_have_a_place() {
    let template = templates()[0].for_pipeline("orders");
    let by_character: Vec<String> = template.chars().map(String::from).collect();
    let by_token = tokens(&template);
    let mut chance = Chance(20_240_501);
    let mut faulty = 0;
    for round in 0..500 {
        let parts = if round % 2 == 0 { &by_character } else { &by_token };
        let text = mutate(parts.clone(), &mut chance);
        assert_sound(&text, ["dev", "prod", "local"][round % 3]);
        faulty += usize::from(parse(&text, "pipeline.toml", "dev").is_err());
    }
    assert!(faulty > 100, "only {faulty} of 500 mutations had a fault");
}

#[test]
fn however_broken_the_rest_is_a_secret_is_not_shown() {
    let (before, after) = SOUND.split_once("[source]").expect("SOUND has a source");
    let pieces = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
    let mut chance = Chance(7);
    for _ in 0..300 {
        let (before, after) = (mutate(pieces(before), &mut chance), mutate(pieces(after), &mut chance));
        let text = format!("{before}\nprivate_key = \"hunter22hunter\"\n[source]{after}");
        let Err(report) = parse(&text, "pipeline.toml", "dev") else {
            panic!("a secret was taken:\n{text}")
        };
        let json = serde_json::to_string(&report).expect("a report is JSON");
        assert!(!format!("{report}{json}").contains("hunter22"), "{report}");
    }
}

#[test]
fn every_prefix_of_the_file_has_a_place() {
    for (end, _) in SOUND.char_indices() {
        assert_sound(&SOUND[..end], "dev");
    }
}

#[test]
fn deep_and_large_files_are_refused_in_peace() {
    for text in [
        "[".repeat(100_000),
        "a.".repeat(100_000),
        format!("a = {}", "{ a = ".repeat(50_000)),
        format!("a = {}", "[".repeat(100_000)),
        format!("[{}a]", "a.".repeat(50_000)),
        "x".repeat(5 << 20),
    ] {
        assert!(parse(&text, "pipeline.toml", "dev").is_err());
    }
}

proptest! {
    #[test]
    fn any_text_has_a_place(text in "\\PC{0,80}|[\\[\\]{}=\"'\\\\,.#\\n\\r\\ta-z0-9]{0,80}") {
        assert_sound(&text, "dev");
    }
}
