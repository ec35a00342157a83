//! Bulk numbers that are never copied in user space more than needed.
//!
//! A [`Buffer`] is a shared, immutable run of little-endian bytes, aligned for 64-bit numbers. Serde does
//! not see its bytes: inside [`detached`] serializing a buffer sets it aside and writes its place in the
//! list instead, and inside [`attached`] deserializing that place takes it from the list. So a message with
//! matrices in it becomes a small head and a list of raw segments, which the transport writes straight from
//! where they are and reads straight into the memory that the kernel works on.

mod shelf;

pub(crate) use shelf::Shelf;

use crate::blob::{self, Digest};
use bytemuck::{Pod, allocation::try_cast_vec};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::{borrow::Cow, cell::RefCell, fmt, ops::Range, sync::Arc};

#[cfg(target_endian = "big")]
compile_error!("segments are little-endian in memory and on the wire; this target is not");

/// A number of eight or four bytes that a buffer can hold.
pub trait Scalar: Pod + Send + Sync {}
impl Scalar for f64 {}
impl Scalar for f32 {}
impl Scalar for i64 {}
impl Scalar for u64 {}

/// A shared run of bytes. Cloning one copies a pointer.
#[derive(Clone, Default)]
pub struct Buffer {
    repr: Repr,
    /// Known when many tasks have it.
    digest: Option<Digest>,
}

#[derive(Clone)]
enum Repr {
    /// Aligned for numbers: the first `len` bytes of these words.
    Words { words: Arc<shelf::Words>, len: usize },
    /// Text and other bytes that need no alignment.
    Bytes(Bytes),
}

impl Default for Repr {
    fn default() -> Self {
        Self::Bytes(Bytes::new())
    }
}

impl From<Repr> for Buffer {
    fn from(repr: Repr) -> Self {
        Self { repr, digest: None }
    }
}

impl Buffer {
    /// Takes numbers over, without copying those of eight bytes: others are aligned differently.
    pub fn from_scalars<T: Scalar>(numbers: Vec<T>) -> Self {
        let len = size_of_val(numbers.as_slice());
        let words =
            try_cast_vec(numbers).unwrap_or_else(|(_, numbers)| bytemuck::pod_collect_to_vec(&numbers));
        Repr::Words { words: Arc::new(words.into()), len }.into()
    }

    /// Takes the first `len` bytes of these words over, without copying them.
    ///
    /// # Errors
    /// The words back when they are fewer than `len` bytes.
    pub fn from_words(words: Vec<u64>, len: usize) -> Result<Self, Vec<u64>> {
        if size_of_val(words.as_slice()) < len {
            return Err(words);
        }
        Ok(Repr::Words { words: Arc::new(words.into()), len }.into())
    }

    /// The same, for words that go to this shelf when nobody uses them any more.
    pub(crate) fn from_shelf(words: Vec<u64>, len: usize, shelf: &Arc<Shelf>) -> Result<Self, Vec<u64>> {
        if size_of_val(words.as_slice()) < len {
            return Err(words);
        }
        Ok(Repr::Words { words: Arc::new(shelf.lend(words)), len }.into())
    }

    /// The same bytes, as a blob if they are worth it: each worker is sent them once, however many tasks have them.
    /// Hashes them, which takes a millisecond for a few MiB.
    #[must_use]
    pub fn shared(mut self) -> Self {
        if self.digest.is_none() && self.len() >= blob::LEAST {
            self.digest = Some(Digest::of(self.as_bytes()));
        }
        self
    }

    /// What these bytes are known by, if they are a blob.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// How many bytes of memory it keeps from other use.
    pub fn footprint(&self) -> usize {
        match &self.repr {
            Repr::Words { words, .. } => size_of_val(words.as_slice()),
            Repr::Bytes(bytes) => bytes.len(),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.repr {
            Repr::Words { words, len } => {
                bytemuck::cast_slice::<u64, u8>(words.as_slice()).get(..*len).unwrap_or_default()
            }
            Repr::Bytes(bytes) => bytes,
        }
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of the bytes, as a buffer that shares them; `None` where the range goes beyond them.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        self.as_bytes().get(range.clone())?;
        let bytes = match &self.repr {
            Repr::Words { .. } => Bytes::from_owner(self.clone()),
            Repr::Bytes(bytes) => bytes.clone(),
        };
        Some(bytes.slice(range).into())
    }

    /// The numbers where they are, or a copy where they are not aligned for them.
    ///
    /// # Errors
    /// The length in bytes, when it is no multiple of theirs.
    pub fn scalars<T: Scalar>(&self) -> Result<Cow<'_, [T]>, usize> {
        let bytes = self.as_bytes();
        if !bytes.len().is_multiple_of(size_of::<T>()) {
            return Err(bytes.len());
        }
        Ok(match bytemuck::try_cast_slice(bytes) {
            Ok(numbers) => Cow::Borrowed(numbers),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
        })
    }

    /// The numbers, in a vector of the caller's own: without a copy when they have eight bytes and this is the only
    /// handle to an aligned buffer.
    ///
    /// # Errors
    /// The length in bytes, when it is no multiple of theirs.
    pub fn into_scalars<T: Scalar>(self) -> Result<Vec<T>, usize> {
        let len = self.len();
        if !len.is_multiple_of(size_of::<T>()) {
            return Err(len);
        }
        Ok(match self.repr {
            Repr::Words { words, .. } if size_of::<T>() == size_of::<u64>() => {
                let mut words = match Arc::try_unwrap(words) {
                    Ok(words) => words.into_vec(),
                    Err(shared) => shared.as_slice().to_vec(),
                };
                words.truncate(len / size_of::<u64>());
                try_cast_vec(words).unwrap_or_else(|(_, words)| bytemuck::pod_collect_to_vec(&words))
            }
            repr => bytemuck::pod_collect_to_vec(Self::from(repr).as_bytes()),
        })
    }

    /// The bytes, in a vector of the caller's own. Copies.
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Repr::Bytes(bytes.into()).into()
    }
}

impl From<Bytes> for Buffer {
    fn from(bytes: Bytes) -> Self {
        Repr::Bytes(bytes).into()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}

thread_local! {
    static OUTGOING: RefCell<Option<Vec<Buffer>>> = const { RefCell::new(None) };
    static INCOMING: RefCell<Option<Vec<Option<Buffer>>>> = const { RefCell::new(None) };
}

/// Runs `serialize` and returns, beside its result, the buffers that it met, in order.
pub fn detached<R>(serialize: impl FnOnce() -> R) -> (R, Vec<Buffer>) {
    let outer = OUTGOING.replace(Some(Vec::new()));
    let result = serialize();
    (result, OUTGOING.replace(outer).unwrap_or_default())
}

/// Runs `deserialize`, which finds these buffers in the places where [`detached`] met them.
pub fn attached<R>(buffers: Vec<Buffer>, deserialize: impl FnOnce() -> R) -> R {
    let outer = INCOMING.replace(Some(buffers.into_iter().map(Some).collect()));
    let result = deserialize();
    INCOMING.set(outer);
    result
}

impl Serialize for Buffer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = OUTGOING.with_borrow_mut(|outgoing| {
            let outgoing = outgoing.as_mut()?;
            outgoing.push(self.clone());
            u32::try_from(outgoing.len() - 1).ok()
        });
        place
            .ok_or_else(|| ser::Error::custom("a buffer travels only beside a message"))?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Buffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place = u32::deserialize(deserializer)?;
        // Taken, not cloned: a buffer that arrived once is owned once, so that a kernel may work in it.
        INCOMING
            .with_borrow_mut(|incoming| incoming.as_mut()?.get_mut(place as usize)?.take())
            .ok_or_else(|| de::Error::custom(format!("the message has no segment {place}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_in_and_come_out_without_moving() {
        let numbers = vec![1.5f64, f64::NAN, -0.0];
        let place = numbers.as_ptr() as usize;
        let buffer = Buffer::from_scalars(numbers);
        assert_eq!(buffer.len(), 24);
        let back: Vec<f64> = buffer.into_scalars().unwrap();
        assert_eq!(back.as_ptr() as usize, place);
        assert_eq!(back[0], 1.5);
        assert!(back[1].is_nan() && back[2].is_sign_negative());
    }

    #[test]
    fn shorter_numbers_go_in_and_come_out_whatever_their_number() {
        for count in 0..5 {
            let numbers: Vec<f32> = (0..count).map(|i| i as f32 - 0.5).collect();
            let buffer = Buffer::from_scalars(numbers.clone());
            assert_eq!((buffer.len(), buffer.scalars().unwrap().as_ref()), (4 * count, &*numbers));
            assert_eq!(buffer.into_scalars::<f32>().unwrap(), numbers);
        }
        let odd = Buffer::from(vec![0; 6]);
        assert_eq!(odd.scalars::<f32>(), Err(6));
        assert_eq!(odd.into_scalars::<f32>(), Err(6));
        let buffer = Buffer::from_words(vec![1 << 32 | 2, 3], 12).unwrap();
        assert_eq!(buffer.scalars::<f32>().unwrap().as_ref(), [2, 1, 3].map(f32::from_bits));
        assert!(matches!(buffer.scalars::<f32>(), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn a_shared_buffer_is_copied_when_taken_and_an_odd_length_is_refused() {
        let buffer = Buffer::from_scalars(vec![1i64, 2]);
        let other = buffer.clone();
        assert_eq!(buffer.into_scalars::<i64>().unwrap(), [1, 2]);
        assert_eq!(other.into_scalars::<i64>().unwrap(), [1, 2]);
        assert_eq!(Buffer::from(vec![1u8, 2, 3]).into_scalars::<i64>(), Err(3));
        assert_eq!(Buffer::from_words(vec![0; 2], 17), Err(vec![0; 2]));
    }

    #[test]
    fn a_slice_shares_the_bytes() {
        let buffer = Buffer::from_scalars(vec![1i64, 2, 3]);
        let slice = buffer.slice(8..24).unwrap();
        assert_eq!(slice.as_bytes().as_ptr(), buffer.as_bytes()[8..].as_ptr());
        assert_eq!(slice.slice(8..16).unwrap().into_scalars::<i64>().unwrap(), [3]);
        assert!(buffer.slice(8..25).is_none() && buffer.slice(0..0).unwrap().is_empty());
    }

    #[test]
    fn only_what_is_large_is_a_blob_and_a_part_of_one_is_another() {
        let large = Buffer::from(vec![1; blob::LEAST]).shared();
        assert_eq!(large.digest(), Some(Digest::of(&vec![1; blob::LEAST])));
        assert_eq!((large.clone().digest(), large.footprint()), (large.digest(), blob::LEAST));
        assert_eq!(large.slice(1..blob::LEAST).unwrap().digest(), None);
        assert_eq!(Buffer::from(vec![1; blob::LEAST - 1]).shared().digest(), None);
    }

    #[test]
    fn buffers_stay_out_of_the_bytes_and_come_back_in_their_places() {
        let message = (1u8, Buffer::from_scalars(vec![7i64]), Buffer::from(b"text".to_vec()));
        let (bytes, segments) = detached(|| postcard::to_stdvec(&message).unwrap());
        assert_eq!((bytes.len(), segments.len()), (3, 2));
        let back = attached(segments, || postcard::from_bytes::<(u8, Buffer, Buffer)>(&bytes).unwrap());
        assert_eq!(back, message);
    }

    #[test]
    fn a_place_that_names_no_segment_is_an_error() {
        let bytes = postcard::to_stdvec(&(0u32, 0u32)).unwrap();
        let segment = vec![Buffer::from(vec![1u8])];
        assert!(
            attached(segment, || postcard::from_bytes::<(Buffer, Buffer)>(&bytes)).is_err(),
            "taken twice"
        );
        assert!(attached(Vec::new(), || postcard::from_bytes::<Buffer>(&[9])).is_err());
        assert!(postcard::to_stdvec(&Buffer::from(vec![1u8])).is_err(), "outside a message");
    }
}
