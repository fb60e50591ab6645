//! How a private Postgres server is to be.

use std::{fs, sync::Arc};

use bms_domain::testing::servers::{Account, Certificate, Directory, Failure, Port, while_doing};

use super::{
    programs::Programs,
    server::{Parts, Server},
    template::Template,
};

/// How often another port is tried when somebody else was quicker.
const ATTEMPTS: usize = 5;

/// Puts the data of a server into a directory; keeps the template, if it was a copy of that.
pub(super) trait Fill: Fn(&Programs, Option<&Account>, &Directory) -> Result<Option<Arc<Template>>, Failure> {}

impl<F> Fill for F where F: Fn(&Programs, Option<&Account>, &Directory) -> Result<Option<Arc<Template>>, Failure> {}

/// A Postgres server to be started: by default without TLS, and without waiting for the disk.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing runs before `start`"]
pub struct ServerBuilder {
    settings: Vec<(String, String)>,
    durable: bool,
    port: Option<u16>,
    tls: bool,
}

impl ServerBuilder {
    /// A line of `postgresql.conf`, such as `max_connections` and `20`; a later one wins over an earlier one.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Waits for the disk as a server in earnest does: for tests of what a crash leaves, and for benchmarks.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Offers TLS, with a certificate for `127.0.0.1` and `localhost`, and puts it into the URLs; see [`Server::authority_pem`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Listens on this port, instead of one that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// For another server with the same settings.
    pub(super) fn forget_port(&mut self) {
        self.port = None;
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Failure::Missing`] with the line that installs Postgres; [`Failure::Start`] with the server's log.
    pub fn start(self) -> Result<Server, Failure> {
        self.start_on(|programs, account, directory| {
            let template = Template::get(programs, account)?;
            template.copy_to(&directory.path().join("data"), account)?;
            Ok(Some(template))
        })
    }

    /// Starts a server on the data that `fill` puts into `data` in the server's directory.
    pub(super) fn start_on(self, fill: impl Fill) -> Result<Server, Failure> {
        let mut attempt = 1;
        loop {
            match Server::from_parts(self.parts(&fill)?) {
                Err(Failure::Start { log, .. })
                    if self.port.is_none() && attempt < ATTEMPTS && log.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    fn parts(&self, fill: &impl Fill) -> Result<Parts, Failure> {
        let programs = Programs::find()?;
        let account = Account::instead_of_root(&["postgres"])?;
        let directory = Directory::new("bms-postgres-", account.as_ref())?;
        let port = self.port.map_or_else(Port::free, |number| Ok(Port::fixed(number)))?;
        let template = fill(&programs, account.as_ref(), &directory)?;
        let certificate = if self.tls { Some(Certificate::new()?) } else { None };
        let parts = Parts {
            programs,
            account,
            port,
            builder: self.clone(),
            authority: certificate.as_ref().map(|certificate| certificate.authority.clone()),
            _template: template,
            directory,
        };
        let mut written = vec!["harness.conf"];
        fs::write(parts.data().join("harness.conf"), self.document(&parts)).map_err(while_doing("writing the settings"))?;
        if let Some(certificate) = certificate {
            certificate.write_into(&parts.data())?;
            parts.protect("server.key")?;
            written.extend(["ca.pem", "server.pem", "server.key"]);
        }
        if let Some(account) = &parts.account {
            written.into_iter().try_for_each(|name| account.own(&parts.data().join(name)))?;
        }
        Ok(parts)
    }

    /// The settings of the harness, and after them those of the caller.
    fn document(&self, parts: &Parts) -> String {
        let port = parts.port.number().to_string();
        let directory = parts.directory.path().to_string_lossy();
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &directory),
            // Everything that a killed server leaves lies in its directory.
            ("dynamic_shared_memory_type", "mmap"),
            ("log_line_prefix", "%m [%p] %q%u@%d "),
            ("lc_messages", "C"),
            ("timezone", "UTC"),
        ];
        if !self.durable {
            settings.extend([("fsync", "off"), ("full_page_writes", "off")]);
        }
        if self.tls {
            settings.extend([("ssl", "on"), ("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")]);
        }
        let own = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        settings.into_iter().chain(own).map(|(name, value)| format!("{name} = {}\n", quoted(value))).collect()
    }
}

/// A value in `postgresql.conf`, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}
