//! Lends connections.
//!
//! The pool asks each connection that comes back whether it is still there, which is a round trip a statement. So those that
//! this library opened itself are kept here while there is work, and asked only after a pause. A host program's pool is
//! used as it is: the host may need the connections for itself.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bms_domain::store::{BoxError, StoreError};
use futures::future::{Either, select};
use parking_lot::Mutex;
use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::error::STORE;

/// A connection that was idle for longer is asked whether it is still there before it is used.
const FRESH: Duration = Duration::from_secs(1);
/// A connection that was not needed for longer goes back to the pool, which closes it when its time comes.
const SPARE: Duration = Duration::from_mins(1);
/// So does one that was kept for longer, however much it is needed: the pool ends connections that have grown old.
const KEPT: Duration = Duration::from_mins(5);

/// A connection that was taken from the pool.
struct Taken {
    connection: PoolConnection<sqlx::Postgres>,
    at: Instant,
}

struct Idle {
    taken: Taken,
    since: Instant,
}

/// The connections to one server.
pub(crate) struct Connections {
    pool: PgPool,
    /// One for each connection that may be out; none where the pool counts.
    permits: Option<Semaphore>,
    /// The one that was used last is last. None once they are to be closed.
    idle: Mutex<Option<Vec<Idle>>>,
}

impl Connections {
    /// Those of a pool that nobody else uses.
    pub(crate) fn own(pool: PgPool) -> Self {
        let permits = usize::try_from(pool.options().get_max_connections()).unwrap_or(1);
        Self { pool, permits: Some(Semaphore::new(permits)), idle: Mutex::new(Some(Vec::new())) }
    }

    /// Those of a host program's pool.
    pub(crate) fn of_host(pool: PgPool) -> Self {
        Self { pool, permits: None, idle: Mutex::new(None) }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection for one statement.
    pub(crate) async fn lend(&self, until: Instant) -> Result<Lent<'_>, StoreError> {
        let lent = async {
            let permit = match &self.permits {
                Some(permits) => Some(permits.acquire().await.map_err(|_| StoreError::unavailable(STORE))?),
                None => None,
            };
            let mut lent = Lent { taken: None, sound: false, home: self, _permit: permit };
            while let Some(Idle { taken, since }) = self.last_used() {
                lent.taken = Some(taken);
                if since.elapsed() <= FRESH || lent.is_still_there().await {
                    return Ok(lent);
                }
                lent.give_up();
            }
            lent.taken = Some(Taken { connection: self.acquire().await.map_err(unavailable)?, at: Instant::now() });
            Ok(lent)
        };
        timeout_at(until, lent).await.unwrap_or_else(|_| Err(StoreError::unavailable(STORE)))
    }

    /// One of the pool's. The pool tries again and again while a server refuses to be connected to; here that ends it at once.
    async fn acquire(&self) -> Result<PoolConnection<sqlx::Postgres>, sqlx::Error> {
        let (acquire, refusal) = (pin!(self.pool.acquire()), pin!(self.refusal()));
        match select(acquire, refusal).await {
            Either::Left((acquired, _)) => acquired,
            Either::Right((refused, _)) => Err(refused.into()),
        }
    }

    /// Comes about when nobody listens where the server is; never otherwise.
    async fn refusal(&self) -> io::Error {
        let options = self.pool.connect_options();
        if self.pool.num_idle() == 0
            && options.get_socket().is_none()
            && let Err(error) = TcpStream::connect((options.get_host(), options.get_port())).await
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            return error;
        }
        std::future::pending().await
    }

    fn last_used(&self) -> Option<Idle> {
        self.idle.lock().as_mut()?.pop()
    }

    /// Keeps a connection for the next statement, and lets one go that was not needed for long.
    fn keep(&self, taken: Taken) {
        let since = Instant::now();
        let mut idle = self.idle.lock();
        let Some(kept) = idle.as_mut().filter(|_| since.duration_since(taken.at) <= KEPT) else { return };
        kept.push(Idle { taken, since });
        let spare = kept.first().is_some_and(|first| since.duration_since(first.since) > SPARE).then(|| kept.remove(0));
        drop(idle);
        drop(spare);
    }

    /// Closes them all; who asks for one afterwards is refused.
    pub(crate) async fn close(&self) {
        if let Some(permits) = &self.permits {
            permits.close();
        }
        let idle = self.idle.lock().take();
        drop(idle);
        self.pool.close().await;
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // Given back, they would want a runtime, which may be gone.
        for idle in self.idle.get_mut().take().unwrap_or_default() {
            drop(idle.taken.connection.detach());
        }
    }
}

/// A connection that is out for one statement. It is closed, and never used again, unless the statement came to an end.
pub(crate) struct Lent<'a> {
    taken: Option<Taken>,
    sound: bool,
    home: &'a Connections,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Lent<'_> {
    /// The connection; none once it was given up.
    pub(crate) fn get(&mut self) -> Option<&mut PgConnection> {
        self.taken.as_mut().map(|taken| &mut *taken.connection)
    }

    /// The statement came to an end: the connection may be used again.
    pub(crate) fn give_back(mut self) {
        self.sound = true;
    }

    async fn is_still_there(&mut self) -> bool {
        match self.get() {
            Some(connection) => connection.ping().await.is_ok(),
            None => false,
        }
    }

    fn give_up(&mut self) {
        if let Some(mut taken) = self.taken.take() {
            taken.connection.close_on_drop();
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if !self.sound {
            self.give_up();
        } else if let Some(taken) = self.taken.take() {
            self.home.keep(taken);
        }
    }
}

/// The server could not be asked.
pub(crate) fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable { store: STORE, source: Some(Box::new(error) as BoxError) }
}
