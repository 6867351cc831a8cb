#![no_main]

use dvar_fuzz::limits::{Counting, within_limits};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| within_limits(dvar_fuzz::single_file, bytes));
