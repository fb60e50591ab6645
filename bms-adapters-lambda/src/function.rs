//! The cut: which function serves which of the router's paths.

/// A part of the booking API that is deployed, scaled and given rights by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Function {
    /// The catalogue: films and shows, what administrators write into it, and the OpenAPI document.
    Movies,
    /// Holding seats.
    Holds,
    /// Orders, payments and tickets.
    Orders,
    /// Seat maps.
    Seats,
}

impl Function {
    /// All of them. Together they serve every route.
    pub const ALL: [Self; 4] = [Self::Movies, Self::Holds, Self::Orders, Self::Seats];

    /// Whether it serves a path of the contract, such as `/api/v1/holds/{holdId}`. Each is served by one function; but every
    /// function tells for itself whether it is alive and ready, and counts its own requests.
    #[must_use]
    pub fn serves(self, path: &str) -> bool {
        is_probe(path) || Self::of(path) == Some(self)
    }

    /// The function that a request's path belongs to, as a gateway in front of them routes it: none for a path that no route
    /// begins with, and for the probes that every function answers.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        // The first that a path lies under counts.
        let under = [
            ("/movies", Self::Movies),
            ("/api/v1/openapi.json", Self::Movies),
            ("/api/v1/shows", Self::Seats),
            ("/api/v1/holds", Self::Holds),
            ("/api/v1/orders", Self::Orders),
            ("/api/v1/payments", Self::Orders),
            ("/api/v1/tickets", Self::Orders),
            ("/api/v1/admin/orders", Self::Orders),
            ("/api/v1/admin", Self::Movies),
        ];
        let lies_under = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        under.into_iter().find_map(|(prefix, function)| lies_under(prefix).then_some(function))
    }
}

fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}
