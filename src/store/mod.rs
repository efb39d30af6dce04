//! redb and nothing but redb: typed tables, group commit, journal, snapshot.
