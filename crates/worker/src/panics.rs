//! A kernel's panic: caught where it runs, and told in one line instead of a backtrace.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

/// The longest text of a panic that is passed on, in bytes.
const MAX_TEXT: usize = 4096;

thread_local! {
    static IN_KERNEL: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `kernel`. A panic in it is an error that says what and where.
pub(crate) fn caught<T>(kernel: impl FnOnce() -> T) -> Result<T, String> {
    silence();
    let outer = IN_KERNEL.replace(true);
    // What a kernel leaves half done goes with it: it shares nothing with us but its input and its `Cancel`.
    let result = catch_unwind(AssertUnwindSafe(kernel));
    IN_KERNEL.set(outer);
    result.map_err(|payload| {
        let place = PLACE.take().unwrap_or_else(|| "a place unknown".to_owned());
        format!("the kernel panicked at {place}: {}", text(payload))
    })
}

/// Runs a part of a kernel on another thread than the kernel's, where its panic is not printed either.
pub(crate) fn quietly<T>(part: impl FnOnce() -> T) -> T {
    IN_KERNEL.set(true);
    part()
}

fn text(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => shorten(&text),
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => shorten(&text),
            Err(payload) => {
                // Its destructor is the kernel's code, too, and might panic outside of any catch.
                std::mem::forget(payload);
                "it gave no message".to_owned()
            }
        },
    }
}

/// Cuts a text at the end of a character.
pub(crate) fn shorten(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    match text.get(..end) {
        Some(start) if end < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

/// Has panics within [`caught`] remembered and not printed; all others go to the hook that was there before.
/// The one thing here that is global to the process.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            // Not available while the thread ends, and no kernel runs there then.
            if IN_KERNEL.try_with(Cell::get).unwrap_or(false) {
                PLACE.set(info.location().map(ToString::to_string));
            } else {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_says_what_and_where() {
        let error = caught(|| panic!("no {} today", "bananas")).unwrap_err();
        assert!(error.ends_with(": no bananas today") && error.contains("panics.rs:"), "{error}");
        assert!(caught(|| panic!("plain")).unwrap_err().ends_with(": plain"));
        assert_eq!(caught(|| 7), Ok(7));
    }

    #[test]
    fn a_hostile_panic_is_cut_and_cannot_panic_again() {
        struct Spiteful;
        impl Drop for Spiteful {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert!(caught(|| std::panic::panic_any(Spiteful)).unwrap_err().ends_with("no message"));
        let long = "é".repeat(MAX_TEXT);
        assert!(caught(|| panic!("{long}")).unwrap_err().len() < MAX_TEXT + 200);
    }
}
