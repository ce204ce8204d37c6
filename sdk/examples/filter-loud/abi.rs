// SPDX-License-Identifier: Apache-2.0
//! The part of the contract (include/telex, ABI 1.0) that filter-loud needs, member by member as the C headers have it.
//! The contract only grows at the end of a table, so what is written here stays true; the assertions at the end are
//! the sizes of tests/abi/frozen/1.0/layout.txt.
use core::ffi::c_void;

pub type Status = i32;
pub type Lease = u64;
pub const OK: Status = 0;
pub const REJECT: Status = -2;
pub const RETRY: Status = -3;

pub const FILTER: u32 = 5;
pub const IN: u32 = 1;
pub const OUT: u32 = 2;
pub const INT: u32 = 2;

/// Borrowed bytes; text is UTF-8 without a terminating zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    pub data: *const u8,
    pub size: u64,
}

impl Bytes {
    pub fn of(bytes: &[u8]) -> Bytes {
        Bytes { data: bytes.as_ptr(), size: bytes.len() as u64 }
    }

    /// # Safety
    /// The bytes are valid for as long as the slice is used: inside the call that they were given to.
    pub unsafe fn slice<'a>(self) -> &'a [u8] {
        if self.size == 0 || self.data.is_null() {
            return &[];
        }
        core::slice::from_raw_parts(self.data, self.size as usize)
    }
}

#[repr(C)]
pub struct View {
    pub size: u32,
    pub flags: u32,
    pub version: u64,
    pub schema: Bytes,
    pub id: Bytes,
    pub body: Bytes,
}

/// What the host does for a plugin. A call that is not used here is a pointer without a type.
#[repr(C)]
pub struct Host {
    pub size: u32,
    pub abi_minor: u32,
    pub own: *mut c_void,
    pub ext: *const c_void,
    pub log: *const c_void,
    pub fail: unsafe extern "C" fn(*const Host, Lease, Status, Bytes) -> Status,
    pub now_ms: *const c_void,
    pub view: unsafe extern "C" fn(*const Host, *const c_void, *mut View) -> Status,
    pub retain: *const c_void,
    pub release: *const c_void,
    pub get: *const c_void,
    pub open: *const c_void,
    pub loan: *const c_void,
    pub commit: *const c_void,
    pub abandon: *const c_void,
    pub forward: unsafe extern "C" fn(*const Host, Lease, u32, *mut c_void) -> Status,
}

#[repr(C)]
pub struct Port {
    pub size: u32,
    pub direction: u32,
    pub name: *const u8,
    pub schemas: *const *const u8,
}

#[repr(C)]
pub struct Choice {
    pub size: u32,
    pub kind: u32,
    pub flags: u32,
    pub offset: u32,
    pub name: *const u8,
    pub doc: *const u8,
    pub initial: *const u8,
    pub unit: *const u8,
    pub min: f64,
    pub max: f64,
    pub choices: *const *const u8,
}

#[repr(C)]
pub struct Stage {
    pub size: u32,
    pub role: u32,
    pub flags: u32,
    pub max_outputs: u32,
    pub name: *const u8,
    pub version: *const u8,
    pub doc: *const u8,
    pub ports: *const *const Port,
    pub options: *const *const Choice,
    pub needs: *const *const u8,
    pub create: unsafe extern "C" fn(*const Host, Bytes, *mut *mut c_void) -> Status,
    pub start: Option<unsafe extern "C" fn(*mut c_void) -> Status>,
    pub process: unsafe extern "C" fn(*mut c_void, Lease, *mut c_void) -> Status,
    pub on_credit: Option<unsafe extern "C" fn(*mut c_void)>,
    pub on_timer: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    pub cancel: Option<unsafe extern "C" fn(*mut c_void, Lease)>,
    pub drain: Option<unsafe extern "C" fn(*mut c_void, i64)>,
    pub stop: Option<unsafe extern "C" fn(*mut c_void)>,
    pub destroy: unsafe extern "C" fn(*mut c_void),
}

#[repr(C)]
pub struct Plugin {
    pub size: u32,
    pub abi_major: u32,
    pub min_minor: u32,
    pub built_minor: u32,
    pub name: *const u8,
    pub version: *const u8,
    pub license: *const u8,
    pub doc: *const u8,
    pub provides: unsafe extern "C" fn(*const u8) -> *const *const c_void,
}

/// A table that is never written to, whatever pointers it holds.
#[repr(transparent)]
pub struct Table<T>(pub T);
unsafe impl<T> Sync for Table<T> {}

/// Text with its zero, for a table.
macro_rules! c_text {
    ($text:expr) => {
        concat!($text, "\0").as_ptr()
    };
}
pub(crate) use c_text;

const _: () = {
    use core::mem::size_of;
    assert!(size_of::<Bytes>() == 16 && size_of::<View>() == 64);
    assert!(size_of::<Host>() == 8 + 14 * 8 && size_of::<Port>() == 24 && size_of::<Choice>() == 72);
    assert!(size_of::<Stage>() == 136 && size_of::<Plugin>() == 56);
};
