// SPDX-License-Identifier: Apache-2.0
//! Writes OTEP 4947 from Rust: request N burns its time in burnN, on several threads.
//! usage: requests CPU_SECONDS THREADS SLICE_US REPORT
#![feature(thread_local)]
use std::fmt::Write;
use std::hint::black_box;
use std::sync::atomic::{compiler_fence, Ordering::SeqCst};
use std::time::Duration;

#[repr(C)]
pub struct Record {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    valid: u8,
    flags: u8,
    size: u16,
}

#[thread_local]
#[no_mangle]
pub static mut otel_thread_ctx_v1: *const Record = std::ptr::null();

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}
extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}
const CLOCK_THREAD_CPUTIME_ID: i32 = 3;

fn cpu_seconds() -> f64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.seconds as f64 + time.nanoseconds as f64 * 1e-9
}

macro_rules! burns {
    ($($name:ident $number:literal)*) => {
        $(#[inline(never)]
        #[no_mangle]
        extern "C" fn $name(mut x: u64, seconds: f64) -> u64 {
            let end = cpu_seconds() + seconds;
            while cpu_seconds() < end {
                for i in 0..1500u64 {
                    x = black_box(x.wrapping_mul(6364136223846793005).wrapping_add(i));
                }
            }
            x ^ $number
        })*
        const BURNS: &[(&str, extern "C" fn(u64, f64) -> u64)] = &[$((stringify!($name), $name)),*];
    };
}
burns!(burn0 0 burn1 1 burn2 2 burn3 3 burn4 4 burn5 5 burn6 6 burn7 7 burn8 8 burn9 9 burn10 10 burn11 11);

fn record(request: usize) -> Record {
    let mut record = Record { trace_id: [0; 16], span_id: [0; 8], valid: 1, flags: 1, size: 0 };
    for (i, byte) in record.trace_id.iter_mut().enumerate() {
        *byte = (request * 16 + i + 1) as u8;
    }
    for (i, byte) in record.span_id.iter_mut().enumerate() {
        *byte = (255 - request * 16 - i) as u8;
    }
    record
}

fn attach(record: *const Record) {
    compiler_fence(SeqCst);
    unsafe { std::ptr::write_volatile(std::ptr::addr_of_mut!(otel_thread_ctx_v1), record) };
    compiler_fence(SeqCst);
}

fn serve(thread: usize, seconds: f64, slice: f64) -> Vec<f64> {
    let records: Vec<Record> = (0..BURNS.len()).map(record).collect();
    let mut cpu = vec![0.0; BURNS.len()];
    let mut x = thread as u64 * 7919 + 1;
    let end = cpu_seconds() + seconds;
    while cpu_seconds() < end {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let request = (x % BURNS.len() as u64) as usize;
        attach(&records[request]);
        let before = cpu_seconds();
        black_box(BURNS[request].1(x, slice));
        cpu[request] += cpu_seconds() - before;
        attach(std::ptr::null());
        if x >> 32 & 1 != 0 {
            std::thread::sleep(Duration::from_secs_f64(slice / 10.0));
        }
    }
    cpu
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{:02x}", byte).unwrap();
    }
    text
}

#[inline(never)]
#[no_mangle]
extern "C" fn burn_for_nobody(x: u64) -> u64 {
    let end = cpu_seconds() + 0.02;
    let mut y = x;
    while cpu_seconds() < end {
        y = black_box(y.wrapping_mul(3));
    }
    y
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let seconds: f64 = arguments[1].parse().unwrap();
    let threads: usize = arguments[2].parse().unwrap();
    let slice: f64 = arguments[3].parse::<f64>().unwrap() * 1e-6;
    // The profiler has time to get to know the program: first samples are another test's.
    for i in 0..10 {
        black_box(burn_for_nobody(i));
        std::thread::sleep(Duration::from_millis(50));
    }
    let running: Vec<_> =
        (0..threads).map(|thread| std::thread::spawn(move || serve(thread, seconds, slice))).collect();
    let mut total = vec![0.0; BURNS.len()];
    for thread in running {
        for (sum, own) in total.iter_mut().zip(thread.join().unwrap()) {
            *sum += own;
        }
    }
    let mut report = String::new();
    for (request, (name, _)) in BURNS.iter().enumerate() {
        let Record { trace_id, span_id, .. } = record(request);
        writeln!(
            report,
            "{{\"function\":\"{}\",\"trace_id\":\"{}\",\"span_id\":\"{}\",\"cpu_seconds\":{:.6}}}",
            name,
            hex(&trace_id),
            hex(&span_id),
            total[request]
        )
        .unwrap();
    }
    std::fs::write(&arguments[4], report).unwrap();
}
