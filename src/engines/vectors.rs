//! Nearest neighbours, by hnsw_rs and by exact scan.
