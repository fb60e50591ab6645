//! The scripts of both stores, one a file in `lua/`. A line `-- include name` stands for the text of another file.

use std::sync::LazyLock;

use crate::script::Script;

/// What scripts include.
const PARTS: [(&str, &str); 5] = [
    ("clock", include_str!("../lua/clock.lua")),
    ("show", include_str!("../lua/show.lua")),
    ("holds", include_str!("../lua/holds.lua")),
    ("sales", include_str!("../lua/sales.lua")),
    ("request", include_str!("../lua/request.lua")),
];

/// The text of a script with what it includes, without comments: the server reads it again after each restart.
fn expand(text: &str) -> String {
    let mut expanded = String::new();
    for line in text.lines() {
        let line = line.trim();
        let included = line.strip_prefix("-- include ");
        match included.and_then(|name| PARTS.iter().find(|(part, _)| *part == name)) {
            Some((_, part)) => expanded.push_str(&expand(part)),
            None if line.is_empty() || line.starts_with("--") => {}
            None => {
                expanded.push_str(line);
                expanded.push('\n');
            }
        }
    }
    expanded
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)+) => {
        $(pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(expand(include_str!(concat!("../lua/", $file, ".lua")))));)+
    };
}

scripts! {
    PLACE = "place";
    GET = "get";
    RELEASE = "release";
    BEGIN_CHECKOUT = "begin_checkout";
    END_CHECKOUT = "end_checkout";
    GIVE_BACK = "give_back";
    MARK_SOLD = "mark_sold";
    MARK_FREE = "mark_free";
    RESTORE = "restore";
    OCCUPANCY = "occupancy";
    COUNTS = "counts";
    CHANGES = "changes";
    DUE = "due";
    SWEEP = "sweep";
    CHECK = "check";
    BEGIN_REQUEST = "idempotency_begin";
    FINISH_REQUEST = "idempotency_finish";
    ABANDON_REQUEST = "idempotency_abandon";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_included_is_there_and_nothing_else_is_left_of_it() {
        let expanded = expand("-- a comment\n-- include show\nreturn 1 -- include nothing");
        assert!(expanded.contains("local now = tonumber(ARGV[1])") && expanded.contains("local RECORDS"));
        assert!(expanded.ends_with("return 1 -- include nothing\n") && !expanded.contains("-- include clock"));
    }

    /// The script of a rush goes without the function that all others use, and writes the length of the log out.
    #[test]
    fn the_log_of_changes_has_one_length() {
        let holds = include_str!("../lua/holds.lua");
        let kept = holds.lines().find_map(|line| line.strip_prefix("local CHANGES_KEPT = ")).unwrap();
        let kept: u32 = kept.parse().unwrap();
        assert_eq!(kept as usize, crate::feed::KEPT);
        let cut = format!("> {} then call('LTRIM', LOG, '-{kept}', '-1') end", kept * 5 / 4);
        assert!(include_str!("../lua/place.lua").contains(&cut), "{cut}");
        assert!(holds.contains("> 1.25 * CHANGES_KEPT then call('LTRIM', LOG, -CHANGES_KEPT, -1) end"));
    }

    /// The commands of a text: upper-case words in quotes, after `call(`, `try(` or at the head of a list.
    fn commands<'a>(text: &'a str, heads: &[&str]) -> BTreeSet<&'a str> {
        let after = heads.iter().flat_map(|head| text.split(head).skip(1));
        after.filter_map(|rest| rest.split('\'').next()).filter(|word| word.len() > 1 && word.to_uppercase() == **word).collect()
    }

    #[test]
    fn the_check_tries_every_command_that_any_script_uses() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
        let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let texts: Vec<String> =
            files.filter(|path| !path.ends_with("check.lua")).map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let used: BTreeSet<&str> = texts.iter().flat_map(|text| commands(text, &["call('", "{ '"])).collect();
        assert!(used.contains("BITFIELD") && used.contains("SPUBLISH") && used.contains("HINCRBY"));
        assert_eq!(commands(include_str!("../lua/check.lua"), &["try('"]), used);
    }
}
