//! `comanda-trials`: attacks a running Comanda and has what happened judged.

fn main() {}
