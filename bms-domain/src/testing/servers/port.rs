//! TCP ports that no two servers get, on a machine where many tests run at once.
//!
//! A number is reserved by a bound UDP socket of the same number, for as long as the server may come back to it: the
//! servers use no UDP, the kernel frees the socket with the program, and no other program of this harness can bind it in the meantime. The
//! numbers lie below those that systems give to outgoing connections, so that nobody gets one by chance while a server is down.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
};

use super::failure::{Failure, while_doing};

/// Numbers to choose from; with the furthest second port they end at 32,000.
const NUMBERS: Range<u16> = 12_000..22_000;

/// A reserved port.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Nothing holds a number that the caller has chosen.
    _reservation: Option<UdpSocket>,
}

impl Port {
    /// A port that is free.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if none is.
    pub fn free() -> Result<Self, Failure> {
        Self::free_with_second(0)
    }

    /// A port that is free, as is the one that lies `distance` above it, for a server that listens on both. At most 10,000.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if there is no such pair.
    pub fn free_with_second(distance: u16) -> Result<Self, Failure> {
        let count = NUMBERS.end - NUMBERS.start;
        // A hash of nothing with the operating system's random keys: any start will do, if each program has its own.
        let start = (RandomState::new().build_hasher().finish() % u64::from(count)) as u16;
        let mut refusal = None;
        for step in 0..count {
            let number = NUMBERS.start + (start + step) % count;
            match reserve(number, distance) {
                Ok(reservation) => return Ok(Self { number, _reservation: Some(reservation) }),
                Err(error) => refusal = Some(error),
            }
        }
        let refusal = refusal.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
        Err(while_doing(format!("no port between {} and {} is free", NUMBERS.start, NUMBERS.end))(refusal))
    }

    /// The port that the caller wants, whoever else wants it.
    pub fn fixed(number: u16) -> Self {
        Self { number, _reservation: None }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn reserve(number: u16, distance: u16) -> std::io::Result<UdpSocket> {
    let reservation = UdpSocket::bind((Ipv4Addr::LOCALHOST, number))?;
    // Others may listen on every address of the machine.
    for tcp in [number, number.saturating_add(distance)] {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, tcp))?;
    }
    Ok(reservation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_nobody_elses_while_it_is_kept() {
        let kept = Port::free().unwrap();
        assert!(reserve(kept.number(), 0).is_err());
    }

    #[test]
    fn a_port_whose_second_port_is_taken_is_not_chosen() {
        let free = Port::free_with_second(10_000).unwrap().number();
        let _second = TcpListener::bind((Ipv4Addr::LOCALHOST, free + 10_000)).unwrap();
        assert!(reserve(free, 10_000).is_err());
    }
}
