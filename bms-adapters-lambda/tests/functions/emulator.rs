//! One instance of a function's program, under the emulator of Lambda.

use std::path::Path;
use std::time::Duration;

use bms_adapters_lambda::testing::Emulator;
pub(crate) use bms_adapters_lambda::testing::Outcome;
use bms_domain::testing::servers::Process;
use serde_json::Value;
use tempfile::NamedTempFile;

/// Nothing here takes this long; a test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One instance of a function.
pub(crate) struct Instance {
    process: Process,
    emulator: Emulator,
    log: NamedTempFile,
}

impl Instance {
    /// Starts a function's program with these variables, and no others.
    pub(crate) async fn start(program: &str, variables: &[(&str, &str)]) -> Self {
        let emulator = Emulator::start().await.unwrap();
        let log = NamedTempFile::new().unwrap();
        let process = Process::spawn(Path::new(program), |command| {
            command.env_clear().stderr(log.reopen().unwrap()).env("BMS_LOG_FORMAT", "text");
            command.envs(emulator.variables()).envs(variables.iter().copied());
            Ok(())
        });
        Self { process: process.unwrap(), emulator, log }
    }

    /// Has the function carry out one event, with this much time.
    pub(crate) async fn invoke_within(&self, event: &str, time: Duration) -> Outcome {
        let outcome = self.emulator.invoke_within(event, time).await;
        if let Err(error) = &outcome {
            assert_ne!(error["errorType"], "Sandbox.Timedout", "no answer to {event}: {}", self.log());
        }
        outcome
    }

    /// Has the function carry out one event, with the time that functions usually have.
    pub(crate) async fn invoke(&self, event: &Value) -> Outcome {
        self.invoke_within(&event.to_string(), Duration::from_secs(15)).await
    }

    /// Waits until the function asks for work: everything before is done.
    pub(crate) async fn is_idle(&self) {
        let idle = tokio::time::timeout(PATIENCE, self.emulator.is_idle()).await;
        assert!(idle.is_ok(), "it does not ask for work: {}", self.log());
    }

    /// Freezes it, as Lambda does between two events.
    pub(crate) fn freeze(&mut self) {
        self.process.pause().unwrap();
    }

    /// Thaws it.
    pub(crate) fn thaw(&mut self) {
        self.process.resume().unwrap();
    }

    /// Kills it, as Lambda does with a function that takes too long.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ends(&mut self) {
        self.process.wait(PATIENCE).unwrap();
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}
