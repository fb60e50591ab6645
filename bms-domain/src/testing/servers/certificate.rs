//! A throwaway authority and a certificate of it, for a server on this machine.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::failure::{Failure, while_doing};

/// What a server needs to speak TLS on `127.0.0.1` and `localhost`, all of it as PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The authority's certificate, which clients trust.
    pub authority: String,
    /// The server's certificate.
    pub server: String,
    /// The server's private key.
    pub key: String,
}

impl Certificate {
    /// Makes an authority, and a certificate of it.
    ///
    /// # Errors
    ///
    /// [`Failure::Certificate`] if the library refuses.
    pub fn new() -> Result<Self, Failure> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.distinguished_name.push(DnType::CommonName, "Throwaway authority");
        let authority_pem = authority.self_signed(&authority_key)?.pem();

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        server.use_authority_key_identifier_extension = true;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.distinguished_name.push(DnType::CommonName, "Throwaway server");
        let server = server.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();
        Ok(Self { authority: authority_pem, server, key: key.serialize_pem() })
    }

    /// Writes `ca.pem`, `server.pem` and `server.key` into `folder`.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if a file cannot be written.
    pub fn write_into(&self, folder: &Path) -> Result<(), Failure> {
        for (name, text) in [("ca.pem", &self.authority), ("server.pem", &self.server), ("server.key", &self.key)] {
            fs::write(folder.join(name), text).map_err(while_doing(format!("writing {name}")))?;
        }
        Ok(())
    }
}
