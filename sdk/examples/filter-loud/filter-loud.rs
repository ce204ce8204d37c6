// SPDX-License-Identifier: Apache-2.0
//! filter-loud - drops records whose title is written mostly in capitals. A plugin in Rust, against the C contract alone:
//!
//!     rustc --edition 2021 --crate-type cdylib -C panic=abort -C lto -O -o filter-loud.so filter-loud.rs
//!
//! It leaves out Rust's standard library, which runs code when it is loaded; what it needs of memory it asks the C library
//! for. No panic crosses the boundary: what could fail is checked, and a mistake that is left ends in abort(). It keeps
//! nothing between two records, so the host may repeat any step.
#![no_std]

mod abi;
mod message;

use abi::*;
use core::ffi::c_void;
use core::mem::size_of;
use core::ptr::{addr_of, null};
use message::{find, Value};

/// Titles with fewer letters say nothing: "EU", "NASA".
const LETTERS_MIN: u64 = 8;
const MOST_INITIAL: i64 = 60;

#[link(name = "c")]
extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    unsafe { abort() }
}

struct Loud {
    host: *const Host, // borrowed
    most: u64,         // percent
}

unsafe extern "C" fn create(host: *const Host, options: Bytes, own: *mut *mut c_void) -> Status {
    let most = match find(options.slice(), "most") {
        Some(Value::Int(percent)) => percent.clamp(0, 100),
        _ => MOST_INITIAL,
    };
    let loud = malloc(size_of::<Loud>()) as *mut Loud;
    if loud.is_null() {
        return RETRY;
    }
    loud.write(Loud { host, most: most as u64 });
    *own = loud as *mut c_void;
    OK
}

/// Whether more than `most` percent of a title's letters are capitals.
fn is_loud(title: &str, most: u64) -> bool {
    let capitals = title.chars().filter(|c| c.is_uppercase()).count() as u64;
    let letters = title.chars().filter(|c| c.is_alphabetic()).count() as u64;
    letters >= LETTERS_MIN && capitals * 100 > letters * most
}

unsafe fn reject(host: *const Host, lease: Lease, why: &str) -> Status {
    ((*host).fail)(host, lease, REJECT, Bytes::of(why.as_bytes()))
}

unsafe extern "C" fn process(own: *mut c_void, lease: Lease, record: *mut c_void) -> Status {
    let loud = &*(own as *const Loud);
    let nothing = Bytes::of(&[]);
    let mut view = View { size: size_of::<View>() as u32, flags: 0, version: 0, schema: nothing, id: nothing, body: nothing };
    let status = ((*loud.host).view)(loud.host, record, &mut view);
    if status != OK {
        return status;
    }
    let title = match find(view.body.slice(), "title") {
        None => return reject(loud.host, lease, "body is no message"),
        Some(Value::Text(bytes)) => match core::str::from_utf8(bytes) {
            Ok(title) => title,
            Err(_) => return reject(loud.host, lease, "title is not UTF-8"),
        },
        Some(_) => "",
    };
    if is_loud(title, loud.most) {
        return OK; // without an output: the record ends here
    }
    ((*loud.host).forward)(loud.host, lease, 0, record)
}

unsafe extern "C" fn destroy(own: *mut c_void) {
    free(own);
}

// ---- the tables ----

macro_rules! name {
    () => {
        "filter-loud"
    };
}
macro_rules! version {
    () => {
        "0.1.0"
    };
}
macro_rules! doc {
    () => {
        "drops records whose title is written mostly in capitals"
    };
}

static SCHEMAS: Table<[*const u8; 2]> = Table([c_text!("telex.record/1"), null()]);
static PORT_IN: Table<Port> =
    Table(Port { size: size_of::<Port>() as u32, direction: IN, name: c_text!("in"), schemas: addr_of!(SCHEMAS) as _ });
static PORT_OUT: Table<Port> =
    Table(Port { size: size_of::<Port>() as u32, direction: OUT, name: c_text!("out"), schemas: addr_of!(SCHEMAS) as _ });
static PORTS: Table<[*const Port; 3]> = Table([addr_of!(PORT_IN) as _, addr_of!(PORT_OUT) as _, null()]);

static MOST: Table<Choice> = Table(Choice {
    size: size_of::<Choice>() as u32,
    kind: INT,
    flags: 0,
    offset: 0,
    name: c_text!("most"),
    doc: c_text!("share of capitals that a title may have"),
    initial: c_text!("60"),
    unit: c_text!("percent"),
    min: 0.0,
    max: 100.0,
    choices: null(),
});
static OPTIONS: Table<[*const Choice; 2]> = Table([addr_of!(MOST) as _, null()]);

static STAGE: Table<Stage> = Table(Stage {
    size: size_of::<Stage>() as u32,
    role: FILTER,
    flags: 0,
    max_outputs: 1,
    name: c_text!(name!()),
    version: c_text!(version!()),
    doc: c_text!(doc!()),
    ports: addr_of!(PORTS) as _,
    options: addr_of!(OPTIONS) as _,
    needs: null(),
    create,
    start: None,
    process,
    on_credit: None,
    on_timer: None,
    cancel: None,
    drain: None,
    stop: None,
    destroy,
});
static CLASSES: Table<[*const c_void; 2]> = Table([addr_of!(STAGE) as _, null()]);

const CLASS: &[u8] = b"telex.stage/1\0";

unsafe extern "C" fn provides(class_id: *const u8) -> *const *const c_void {
    for (i, byte) in CLASS.iter().enumerate() {
        if *class_id.add(i) != *byte {
            return null();
        }
    }
    addr_of!(CLASSES) as _
}

static PLUGIN: Table<Plugin> = Table(Plugin {
    size: size_of::<Plugin>() as u32,
    abi_major: 1,
    min_minor: 0,
    built_minor: 0,
    name: c_text!(name!()),
    version: c_text!(version!()),
    license: c_text!("Apache-2.0"),
    doc: c_text!(doc!()),
    provides,
});

const MANIFEST_TEXT: &str = concat!(
    "TELEXMF1{\"name\":\"",
    name!(),
    "\",\"version\":\"",
    version!(),
    "\",\"abi\":[1,0],\"provides\":[\"telex.stage/1\"],\"license\":\"Apache-2.0\",\"doc\":\"",
    doc!(),
    "\"}\0"
);

const fn manifest() -> [u8; MANIFEST_TEXT.len()] {
    let mut out = [0; MANIFEST_TEXT.len()];
    let mut i = 0;
    while i < out.len() {
        out[i] = MANIFEST_TEXT.as_bytes()[i];
        i += 1;
    }
    out
}

/// What the host reads before it loads anything.
#[used]
#[link_section = ".telex.manifest"]
static MANIFEST: [u8; MANIFEST_TEXT.len()] = manifest();

#[no_mangle]
pub extern "C" fn telex_entry_v1(_host_minor: u32) -> *const Plugin {
    // A linker that drops what nobody reads must see the manifest read.
    let magic = unsafe { core::ptr::read_volatile(addr_of!(MANIFEST) as *const u8) };
    if magic != b'T' {
        return null();
    }
    addr_of!(PLUGIN) as _
}
