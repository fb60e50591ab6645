//! Statements: one a file in `queries/`, written for the schema `bms` and expanded for the one that is configured.

/// Makes a struct of statements: a field for each file `queries/<folder>/<field>.sql`.
macro_rules! statements {
    ($(#[$doc:meta])* $name:ident in $folder:literal: $($statement:ident),+ $(,)?) => {
        $(#[$doc])*
        pub(crate) struct $name {
            $(pub(crate) $statement: std::sync::Arc<str>,)+
        }

        impl $name {
            pub(crate) fn new(schema: &crate::config::Schema) -> Self {
                Self {
                    $($statement: schema.expand(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/", $folder, "/", stringify!($statement), ".sql"))),)+
                }
            }
        }
    };
}

pub(crate) use statements;

/// A statement, to be given its arguments. Its text is this crate's own.
pub(crate) fn query<'q>(text: &std::sync::Arc<str>) -> Query<'q> {
    sqlx::query(sqlx::AssertSqlSafe(text.clone()))
}

/// A statement with its arguments.
pub(crate) type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;
