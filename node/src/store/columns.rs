//! Values of ours in columns of SQLite.

use rusqlite::types::{ToSqlOutput, Type};
use rusqlite::{Row, ToSql};

/// A count or a time. Integers of the database are signed: what lies beyond (year 292 million) is kept at the end.
pub(super) struct Count(pub(super) u64);

impl ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(i64::try_from(self.0).unwrap_or(i64::MAX).into())
    }
}

/// Reads a [`Count`].
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|error| bad_column(column, error))
}

/// Reads a byte string of known length.
pub(super) fn bytes<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; N]> {
    row.get(column)
}

/// A column holds what this program never writes.
pub(super) fn bad_column(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, Box::new(error))
}
