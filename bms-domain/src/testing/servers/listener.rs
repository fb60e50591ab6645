//! A loopback port that hands each connection to a function, and can be closed and opened again.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;

use super::{
    failure::{Failure, while_doing},
    port::Port,
};

type Handler = Arc<dyn Fn(TcpStream) + Send + Sync>;

/// Accepts connections until it is closed or dropped; each runs in a thread of its own.
pub struct Listener {
    port: Port,
    handler: Handler,
    running: Mutex<Option<Running>>,
}

struct Running {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Listener {
    /// Opens a free port; `handler` gets each connection.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if no port is free.
    pub fn open(handler: impl Fn(TcpStream) + Send + Sync + 'static) -> Result<Self, Failure> {
        let listener = Self { port: Port::free()?, handler: Arc::new(handler), running: Mutex::new(None) };
        listener.reopen()?;
        Ok(listener)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Listens again on the same port, after [`Listener::close`]; else does nothing.
    ///
    /// # Errors
    ///
    /// [`Failure::System`] if the port cannot be opened.
    pub fn reopen(&self) -> Result<(), Failure> {
        let mut running = self.running.lock();
        if running.is_none() {
            let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port())).map_err(while_doing("opening a port"))?;
            let ends = Arc::new(AtomicBool::new(false));
            let (seen, handler) = (Arc::clone(&ends), Arc::clone(&self.handler));
            let thread = thread::spawn(move || accept(&socket, &seen, &handler));
            *running = Some(Running { ends, thread });
        }
        Ok(())
    }

    /// Refuses connections from now on; those that there are stay.
    pub fn close(&self) {
        if let Some(running) = self.running.lock().take() {
            running.ends.store(true, Ordering::SeqCst);
            // Wakes the thread; should this be refused, it is awake already.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port()));
            let _ = running.thread.join();
        }
    }
}

fn accept(socket: &TcpListener, ends: &AtomicBool, handler: &Handler) {
    for stream in socket.incoming() {
        if ends.load(Ordering::SeqCst) {
            return;
        }
        // A client that has gone before it was accepted is none.
        if let Ok(stream) = stream {
            let handler = Arc::clone(handler);
            thread::spawn(move || handler(stream));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Listener").field("port", &self.port).finish_non_exhaustive()
    }
}
