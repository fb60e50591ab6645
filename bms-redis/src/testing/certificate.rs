//! A throwaway authority and a certificate of it, for a server on this machine.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::failure::{Failure, while_doing};

/// Writes `ca.pem`, `server.pem` and `server.key` into `folder` and returns the authority's certificate as PEM.
pub(super) fn write_into(folder: &Path) -> Result<String, Failure> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, "Throwaway authority");
    let authority_pem = authority.self_signed(&authority_key)?.pem();

    let server_key = KeyPair::generate()?;
    let mut server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    server.use_authority_key_identifier_extension = true;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.distinguished_name.push(DnType::CommonName, "Throwaway server");
    let server_pem = server.signed_by(&server_key, &Issuer::new(authority, authority_key))?.pem();

    for (name, text) in [("ca.pem", &authority_pem), ("server.pem", &server_pem), ("server.key", &server_key.serialize_pem())] {
        fs::write(folder.join(name), text).map_err(while_doing(format!("writing {name}")))?;
    }
    Ok(authority_pem)
}
