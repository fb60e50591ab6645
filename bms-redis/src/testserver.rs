//! A private `redis-server` for the tests of this crate.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server on a free port of the loopback interface; it ends with this value.
pub(crate) struct TestServer {
    child: Child,
    pub(crate) port: u16,
    pub(crate) directory: TempDir,
    args: Vec<String>,
}

impl TestServer {
    pub(crate) fn start(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let child = spawn(port, directory.path(), &args);
        let server = Self { child, port, directory, args };
        server.await_port();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(args).output().expect("redis-cli runs");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited");
    }

    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, self.directory.path(), &self.args);
        self.await_port();
    }

    fn await_port(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "redis-server did not open its port");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn spawn(port: u16, directory: &Path, args: &[String]) -> Child {
    let tls = args.iter().any(|arg| arg == "--tls-port");
    let plain = if tls { "0".to_owned() } else { port.to_string() };
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &plain, "--save", "", "--appendonly", "no"])
        .args(args.iter().map(|arg| arg.replace("PORT", &port.to_string())))
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server starts; install it with: apt-get install redis-server")
}
