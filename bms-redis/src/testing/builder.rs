//! How a private Redis process is to be.

use std::{fs, path::Path, sync::Arc};

use bms_domain::testing::servers::{Certificate, Directory, Failure, Port, find_program, while_doing};

use super::{
    clock::MovableClock,
    cluster::BUS_DISTANCE,
    server::{Parts, Server},
};

/// The name, and the password, of the user through whom the harness gives its commands.
pub(super) const HARNESS: &str = "harness";

/// How often another port is tried when somebody else was quicker.
const ATTEMPTS: usize = 5;

/// A Redis server to be started: by default without a password, without TLS, and keeping nothing on disk.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing runs before `start`"]
pub struct ServerBuilder {
    lines: Vec<String>,
    environment: Vec<(String, String)>,
    port: Option<u16>,
    password: Option<String>,
    tls: bool,
    /// What the servers of a group share, so that one authority vouches for all.
    certificate: Option<Arc<Certificate>>,
    movable_clock: bool,
    sentinel: bool,
}

impl ServerBuilder {
    /// Adds a line to `redis.conf`, such as `maxmemory-policy noeviction`; a later line wins over an earlier one.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Writes every change to disk before it is answered, so that a killed server still knows it when it is restarted.
    pub fn append_only(self) -> Self {
        self.config("appendonly yes").config("appendfsync always")
    }

    /// The most memory that the server may use, in bytes.
    pub fn max_memory(self, bytes: u64) -> Self {
        self.config(format!("maxmemory {bytes}"))
    }

    /// The password of the default user; may hold any character but line breaks.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        let password = password.into();
        let line = format!("requirepass {}", quoted(&password));
        self.password = Some(password);
        self.config(line)
    }

    /// Adds an ACL user: `app on >secret ~bms:* &* +@read`. `default off` forbids what has no user name.
    pub fn user(self, rules: impl AsRef<str>) -> Self {
        self.config(format!("user {}", rules.as_ref()))
    }

    /// Answers TLS only, with a certificate for `127.0.0.1` and `localhost`; see [`Server::authority_pem`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Listens on this port, instead of one that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets a variable in the environment of the process.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Lets [`Server::set_clock_offset`] move the server's clock; needs libfaketime.
    pub fn movable_clock(mut self) -> Self {
        self.movable_clock = true;
        self
    }

    /// Makes it a sentinel: the same program, which then takes other lines (`sentinel monitor …`) and other commands.
    pub fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self
    }

    /// The same server as a part of a group, whose members log in to each other as the harness, and speak TLS to each other
    /// if they speak it at all.
    pub(super) fn member(self) -> Result<Self, Failure> {
        if self.port.is_some() {
            return Err(Failure::State("the servers of a group have no port of your choice".to_owned()));
        }
        let replication = ["repl-diskless-sync-delay 0", "repl-ping-replica-period 1"];
        let lines =
            replication.map(str::to_owned).into_iter().chain([format!("masteruser {HARNESS}"), format!("masterauth {HARNESS}")]);
        let mut member = self;
        // Before the caller's lines, which win.
        member.lines.splice(0..0, lines);
        if member.tls {
            member.certificate = Some(Arc::new(Certificate::new()?));
            member.lines.push("tls-replication yes".to_owned());
        }
        Ok(member)
    }

    /// The same server with the TLS of a member of a group.
    pub(super) fn guarding(self, member: &Self) -> Self {
        let guard = Self { tls: member.tls, certificate: member.certificate.clone(), ..self };
        if guard.tls { guard.config("tls-replication yes") } else { guard }
    }

    pub(super) fn speaks_tls(&self) -> bool {
        self.tls
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Failure::Missing`] with the line that installs what is missing; [`Failure::Start`] with the server's log.
    pub fn start(self) -> Result<Server, Failure> {
        let mut attempt = 1;
        loop {
            match Server::from_parts(self.parts()?) {
                Err(Failure::Start { log, .. })
                    if self.port.is_none() && attempt < ATTEMPTS && log.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    fn parts(&self) -> Result<Parts, Failure> {
        let install = "apt-get install -y redis-server";
        let program = find_program("redis-server").ok_or(Failure::Missing { program: "redis-server", install })?;
        let directory = Directory::new("bms-redis-", None)?;
        let free = || Port::free_with_second(BUS_DISTANCE);
        let port = self.port.map_or_else(free, |number| Ok(Port::fixed(number)))?;
        let certificate = match &self.certificate {
            Some(shared) => Some(Arc::clone(shared)),
            None if self.tls => Some(Arc::new(Certificate::new()?)),
            None => None,
        };
        if let Some(certificate) = &certificate {
            certificate.write_into(directory.path())?;
        }
        let clock = if self.movable_clock { Some(MovableClock::in_folder(directory.path())?) } else { None };
        let parts = Parts {
            program,
            arguments: if self.sentinel { &["--sentinel"] } else { &[] },
            environment: self.environment.clone(),
            port,
            has_harness_user: !self.sentinel,
            password: self.password.clone(),
            authority: certificate.map(|certificate| certificate.authority.clone()),
            clock,
            directory,
        };
        let file = parts.directory.path().join("redis.conf");
        fs::write(file, self.document(&parts)).map_err(while_doing("writing the server's configuration"))?;
        Ok(parts)
    }

    /// `redis.conf`. It is written once: servers and sentinels change it, and a restart must find what they wrote.
    fn document(&self, parts: &Parts) -> String {
        let path = |file: &Path| quoted(&file.to_string_lossy());
        let port = parts.port.number();
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("dir {}", path(parts.directory.path())),
            format!("unixsocket {}", path(&parts.socket())),
            "daemonize no".to_owned(),
        ];
        if self.tls {
            lines.extend(["port 0".to_owned(), format!("tls-port {port}"), "tls-auth-clients no".to_owned()]);
            lines.extend(["tls-cert-file server.pem", "tls-key-file server.key", "tls-ca-cert-file ca.pem"].map(str::to_owned));
            // The bus of a cluster would want TLS of both ends, and the certificate is a server's: it goes without, while clients
            // and replicas are told of the port with TLS.
            lines.extend([format!("cluster-port {}", port + BUS_DISTANCE), format!("cluster-announce-port {port}")]);
        } else {
            lines.push(format!("port {port}"));
        }
        if !self.sentinel {
            lines.push(format!("user {HARNESS} on >{HARNESS} ~* &* +@all"));
            // A server that has to end does not wait for replicas.
            lines.extend(["save \"\"", "enable-debug-command local", "shutdown-timeout 0"].map(str::to_owned));
        }
        lines.extend(self.lines.iter().cloned());
        lines.join("\n") + "\n"
    }
}

/// A value in `redis.conf`, whatever is in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
