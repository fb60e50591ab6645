//! Fuzzing under plain `cargo test`: for some time, rather than some number of cases, inputs nobody would write.
//!
//! An input is bytes, and a target has a folder of good and bad ones, its corpus: `tests/fuzz/corpus/NAME/` in its crate. Each is
//! tried as it is, and then they are edited at random, because bytes drawn at random seldom get past the first check of
//! anything. Where a test needs more than bytes (a token and who signed it, a row of requests), its inputs are a text that says so.
//!
//! ```
//! use bms_domain::id::ShowId;
//! use bms_domain::testing::fuzz::Target;
//!
//! # fn main() {
//! Target::new(env!("CARGO_MANIFEST_DIR"), "ids").check(&["id", "no id"], |input| {
//!     let text = String::from_utf8_lossy(input);
//!     let Ok(id) = ShowId::parse(&text) else { return Ok("no id") };
//!     assert_eq!(id.as_str(), text);
//!     Ok("id")
//! });
//! # }
//! ```
//!
//! It takes [`SECONDS`], or as many as the variable `BMS_FUZZ_SECONDS` says. What fails is made smaller and put into the corpus,
//! where it is tried first from then on: running the test again replays it. An input that hangs is put there as it is, and ends
//! the process, which nothing else would.

mod edit;
mod watchdog;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use proptest::strategy::{Just, Strategy};
pub use proptest::test_runner::TestCaseError;
use proptest::test_runner::{Config, TestError, TestRunner};

use self::watchdog::Watchdog;
use crate::time::{Clock as _, SystemClock};

/// How long a target is tried when the environment does not say.
pub const SECONDS: u64 = 1;

/// No input takes longer than this. It is far more than any needs, so that a busy machine fails nobody.
const LONGEST: Duration = Duration::from_secs(20);

/// What a corpus is edited for how long.
#[derive(Debug)]
pub struct Target {
    name: &'static str,
    folder: PathBuf,
    /// The corpus by file names, in their order.
    corpus: Vec<(String, Vec<u8>)>,
    time: Duration,
    longest: Duration,
}

impl Target {
    /// The target of this name in the crate at this folder: `env!("CARGO_MANIFEST_DIR")`.
    ///
    /// # Panics
    /// When its corpus cannot be read, or is empty.
    #[must_use]
    pub fn new(crate_folder: &str, name: &'static str) -> Self {
        let folder: PathBuf = [crate_folder, "tests", "fuzz", "corpus", name].iter().collect();
        Self { name, folder: folder.clone(), corpus: Vec::new(), time: time(), longest: LONGEST }.and(folder)
    }

    /// Adds the files of another folder to the corpus: input that other tests have.
    ///
    /// # Panics
    /// When it cannot be read, or is empty.
    #[must_use]
    pub fn and(mut self, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        let named = |file: PathBuf| (file.display().to_string(), fs::read(file).unwrap());
        self.corpus.extend(files.into_iter().map(named));
        self
    }

    /// Tries each input of the corpus, and then edited ones until the time is over. `check` says what came of an input, in one of the
    /// words of `outcomes`; each of them has to come about, or nothing was tried.
    ///
    /// # Panics
    /// When `check` fails or panics, with the smallest input that was found, or takes 20 seconds; when one of the outcomes never
    /// came. When it does not end at all, the process is ended, with the input.
    pub fn check(&self, outcomes: &[&str], check: impl Fn(&[u8]) -> Result<&'static str, TestCaseError>) {
        let seen: RefCell<BTreeMap<&'static str, u64>> = RefCell::default();
        let watchdog = self.watchdog();
        let tried = |input: Vec<u8>| {
            let began = SystemClock.now();
            let outcome = watchdog.watch(&input, &check)?;
            assert!(outcomes.contains(&outcome), "{outcome:?} is none of the outcomes");
            let took = SystemClock.now().since(began);
            if took > self.longest {
                return Err(TestCaseError::fail(format!("it took {} s", took.as_secs())));
            }
            *seen.borrow_mut().entry(outcome).or_default() += 1;
            Ok(())
        };
        let config = Config { failure_persistence: None, max_shrink_time: 10_000, max_shrink_iters: 4_096, ..Config::default() };
        let mut runner = TestRunner::new(config);
        for (file, input) in &self.corpus {
            let as_it_is = Just(input.clone()).new_tree(&mut runner).unwrap();
            if let Err(error) = runner.run_one(as_it_is, tried) {
                panic!("{}: {error}\nThe input is {file}", self.name);
            }
        }
        let began = SystemClock.now();
        let inputs = edit::edited(self.corpus.iter().map(|(_, input)| input.clone()).collect());
        while SystemClock.now().since(began) < self.time {
            let input = inputs.new_tree(&mut runner).unwrap();
            match runner.run_one(input, tried) {
                Ok(_) => {}
                Err(TestError::Fail(why, input)) => {
                    let runs: u64 = seen.borrow().values().sum();
                    panic!("{}: {why}\n{}\nIt took {runs} runs to find and to make small", self.name, keep(&self.folder, &input));
                }
                Err(error) => panic!("{}: {error}", self.name),
            }
        }
        let seen = seen.into_inner();
        let counts: Vec<String> = seen.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        println!("{}: {} runs, {}", self.name, seen.values().sum::<u64>(), counts.join(", "));
        for outcome in outcomes {
            assert!(seen.contains_key(outcome), "{}: no input was {outcome:?}, so that was not tried", self.name);
        }
    }

    /// Ends the process when an input hangs, and says which.
    fn watchdog(&self) -> Watchdog {
        let (name, folder, longest) = (self.name, self.folder.clone(), self.longest);
        Watchdog::start(longest, move |input| {
            // Not by a macro: what a test prints by one is shown only when the test has ended.
            _ = writeln!(io::stderr(), "\n{name}: it hangs, after {} s\n{}", longest.as_secs_f32(), keep(&folder, input));
            process::exit(1)
        })
    }
}

/// Puts an input that failed into the corpus, and says so.
fn keep(folder: &Path, input: &[u8]) -> String {
    let mark = input.iter().fold(0_u32, |mark, byte| mark.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let file = folder.join(format!("failed-{mark:08x}"));
    let kept = match fs::write(&file, input) {
        Ok(()) => format!("It is kept in {} and tried first from now on: the same test replays it", file.display()),
        Err(error) => format!("It could not be kept in {}: {error}", file.display()),
    };
    format!("The input is \"{}\"\n{kept}", input.escape_ascii())
}

fn time() -> Duration {
    let seconds = std::env::var("BMS_FUZZ_SECONDS");
    Duration::from_secs(seconds.map_or(SECONDS, |seconds| seconds.parse().expect("BMS_FUZZ_SECONDS is a number of seconds")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process::Command;
    use std::thread;

    /// What a target says that fails, and the input that it keeps.
    fn failure(check: impl Fn(&[u8]) -> Result<&'static str, TestCaseError>) -> (String, Option<Vec<u8>>) {
        let folder = tempdir();
        fs::write(folder.join("seed"), br#"{"sum": 7, "names": ["a", "b"]}"#).unwrap();
        let target = target(&folder);
        let said = catch_unwind(AssertUnwindSafe(|| target.check(&["fine"], check))).unwrap_err();
        let said = said.downcast_ref::<String>().unwrap().clone();
        let kept = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).find(|file| !file.ends_with("seed"));
        let kept = kept.map(|file| fs::read(file).unwrap());
        fs::remove_dir_all(folder).unwrap();
        (said, kept)
    }

    /// A target with this folder, for as long as these need however long others are tried.
    fn target(folder: &Path) -> Target {
        let (folder, time) = (folder.to_owned(), Duration::from_secs(1));
        Target { name: "test", folder: folder.clone(), corpus: Vec::new(), time, longest: LONGEST }.and(folder)
    }

    /// A folder of this test's own.
    fn tempdir() -> PathBuf {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("bms-fuzz-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn sum(input: &[u8]) -> Option<i64> {
        serde_json::from_slice::<serde_json::Value>(input).ok()?.get("sum")?.as_i64()
    }

    #[test]
    fn what_only_an_edit_within_json_finds_is_found_made_small_and_kept() {
        let (said, kept) = failure(|input| {
            assert!(sum(input).is_none_or(|sum| sum >= 0), "negative");
            Ok("fine")
        });
        assert!(said.contains("negative") && said.contains("failed-"), "{said}");
        assert!(sum(&kept.unwrap()).unwrap() < 0);
    }

    #[test]
    fn an_input_of_the_corpus_fails_by_its_name() {
        let (said, kept) = failure(|input| if sum(input) == Some(7) { Err(TestCaseError::fail("seven")) } else { Ok("fine") });
        assert!(said.contains("seven") && said.contains("/seed") && kept.is_none(), "{said}");
    }

    #[test]
    fn what_never_came_about_is_not_proved() {
        let folder = tempdir();
        fs::write(folder.join("seed"), b"x").unwrap();
        let target = target(&folder);
        let said = catch_unwind(AssertUnwindSafe(|| target.check(&["fine", "else"], |_| Ok("fine")))).unwrap_err();
        assert!(said.downcast_ref::<String>().unwrap().contains("else"));
        fs::remove_dir_all(folder).unwrap();
    }

    /// Gives the process that hangs on purpose its folder.
    const HANGS: &str = "BMS_FUZZ_HANGS";

    /// The process that hangs is another one, which runs this test and nothing else.
    #[test]
    fn an_input_that_hangs_is_kept_and_ends_the_process() {
        if let Some(folder) = env::var_os(HANGS) {
            let target = Target { longest: Duration::from_millis(100), ..target(Path::new(&folder)) };
            return target.check(&["fine"], |input| {
                if input != b"seed" {
                    // Not for ever, lest this test hangs when nobody ends it.
                    thread::park_timeout(Duration::from_secs(10));
                }
                Ok("fine")
            });
        }
        let folder = tempdir();
        fs::write(folder.join("seed"), b"seed").unwrap();
        let this = ["--exact", "testing::fuzz::tests::an_input_that_hangs_is_kept_and_ends_the_process"];
        let ended = Command::new(env::current_exe().unwrap()).args(this).env(HANGS, &folder).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        let kept = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let kept: Vec<_> = kept.filter(|name| name != "seed").collect();
        assert!(!ended.status.success() && said.contains("it hangs") && kept.len() == 1, "{kept:?} {ended:?}");
        assert!(said.contains(&kept[0]), "{said}");
        fs::remove_dir_all(folder).unwrap();
    }
}
