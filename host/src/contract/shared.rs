//! What all instances of a step's driver share: counts of open resources, one pool of memory, one connection to the
//! host's broker, and the rows that they reject.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

use super::exchanger::Exchanger;
use super::faults::Faults;
use super::rejects::Rejects;
use crate::channel::network::Network;
use crate::channel::reporter::Reporter;
use crate::grants::limits::Limits;
use crate::protocol::Job;

/// The number of tables that a step may create.
pub const MAX_TABLES: u32 = 1_000;

/// The number of connections that a step may have open at once, including those of HTTP.
pub const MAX_CONNECTIONS: u32 = 200;

/// The number of linear memories of one instance.
const MAX_MEMORIES: usize = 32;

/// The number of tables of functions and references of one instance.
const MAX_GUEST_TABLES: usize = 64;

/// The number of core instances in one component.
const MAX_CORE_INSTANCES: usize = 128;

/// The most bytes that one element of a guest's table occupies.
const ELEMENT_BYTES: u64 = 16;

/// What a step has open, regardless of the instance that opened it.
#[derive(Clone)]
pub struct Shared {
    pub readers: Slots,
    pub connections: Slots,
    pub tables: Slots,
    pub memory: MemoryPool,
    pub network: Arc<Network>,
    /// What the conformance kit does to the driver's calls.
    pub faults: Option<Arc<Faults>>,
    /// Records or answers the driver's requests.
    pub exchanger: Option<Arc<Exchanger>>,
    pub rejects: Arc<Rejects>,
}

impl Shared {
    fn new(limits: &Limits) -> Self {
        Self {
            readers: Slots::new(u32::try_from(limits.readers).unwrap_or(u32::MAX)),
            connections: Slots::new(MAX_CONNECTIONS),
            tables: Slots::new(MAX_TABLES),
            memory: MemoryPool(Arc::new(Pool {
                taken: AtomicU64::new(0),
                peak: AtomicU64::new(0),
                most: limits.guest_memory_bytes,
            })),
            network: Arc::new(Network::new(limits)),
            faults: None,
            exchanger: None,
            rejects: Arc::new(Rejects::none()),
        }
    }

    /// What the instances of the driver of `job` share.
    pub fn of(job: &Job, reporter: &Reporter, rejects: Rejects) -> Self {
        Self {
            faults: Faults::of(&job.disturbance, job.attempt),
            exchanger: Exchanger::of(job, reporter),
            rejects: Arc::new(rejects),
            ..Self::new(&job.limits)
        }
    }
}

/// A limited number of slots; clones share the count.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Count>);

#[derive(Debug)]
struct Count {
    taken: AtomicU32,
    most: u32,
}

/// One of the [`Slots`], freed when this is dropped.
#[derive(Debug)]
pub struct Slot(Slots);

impl Slots {
    fn new(most: u32) -> Self {
        Self(Arc::new(Count { taken: AtomicU32::new(0), most }))
    }

    /// A slot, if one is free.
    pub fn take(&self) -> Option<Slot> {
        let more = |taken: u32| (taken < self.0.most).then_some(taken + 1);
        self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Slot(self.clone()))
    }

    pub fn most(&self) -> u32 {
        self.0.most
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The memory of a step's driver: all linear memories and tables of all its instances together.
#[derive(Debug, Clone)]
pub struct MemoryPool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    taken: AtomicU64,
    peak: AtomicU64,
    most: u64,
}

/// The guest requested more memory than the step may have, or than the machine has.
#[derive(Debug, thiserror::Error)]
#[error("it asked for more than the {} of memory that a step's driver may have", crate::size::spell(*.0))]
pub struct OutOfMemory(pub u64);

/// What one instance has taken from the pool; returned when this is dropped.
#[derive(Debug)]
pub struct GuestMemory {
    pool: MemoryPool,
    taken: u64,
    /// The size of the last growth, in case the machine refuses it.
    last: u64,
}

impl MemoryPool {
    /// The share of one more instance, which is empty at first.
    pub fn part(&self) -> GuestMemory {
        GuestMemory { pool: self.clone(), taken: 0, last: 0 }
    }

    /// The most bytes that all instances had at once.
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }
}

impl GuestMemory {
    fn take(&mut self, bytes: u64) -> wasmtime::Result<bool> {
        let Pool { taken, peak, most } = &*self.pool.0;
        let more = |taken: u64| taken.checked_add(bytes).filter(|sum| sum <= most);
        let before = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| OutOfMemory(*most))?;
        peak.fetch_max(before + bytes, Ordering::Relaxed);
        self.taken += bytes;
        self.last = bytes;
        Ok(true)
    }

    fn give_back(&mut self, bytes: u64) {
        self.taken -= bytes;
        self.pool.0.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn refused(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        let last = std::mem::take(&mut self.last);
        self.give_back(last);
        Err(error.context(OutOfMemory(self.pool.0.most)))
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        self.give_back(self.taken);
    }
}

/// The growth from `current` to `desired`, unless the guest's own `maximum` forbids it.
fn growth(current: usize, desired: usize, maximum: Option<usize>) -> Option<u64> {
    let allowed = maximum.is_none_or(|maximum| desired <= maximum);
    allowed.then_some(desired.saturating_sub(current) as u64)
}

impl ResourceLimiter for GuestMemory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        growth(current, desired, maximum).map_or(Ok(false), |bytes| self.take(bytes))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = growth(current, desired, maximum);
        elements.map_or(Ok(false), |elements| self.take(elements.saturating_mul(ELEMENT_BYTES)))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused(error)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_GUEST_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shared(guest_memory_bytes: u64) -> Shared {
        Shared::new(&Limits { guest_memory_bytes, readers: 2, ..Limits::DEFAULT })
    }

    #[test]
    fn slots_are_counted_over_all_clones_and_given_back() {
        let readers = shared(0).readers;
        let (first, second) = (readers.take().unwrap(), readers.clone().take().unwrap());
        assert!(readers.take().is_none() && readers.clone().take().is_none());
        drop(second);
        assert!(readers.take().is_some());
        drop(first);
    }

    #[test]
    fn memories_and_tables_of_all_instances_come_from_one_pool() {
        let pool = shared(1000).memory;
        let (mut one, mut other) = (pool.part(), pool.part());
        assert!(one.memory_growing(0, 400, None).unwrap());
        assert!(other.table_growing(0, 20, None).unwrap(), "20 elements of 16 bytes");
        assert!(one.memory_growing(0, 280, None).unwrap(), "another memory of the first");
        let refused = other.memory_growing(0, 1, None).unwrap_err();
        assert_eq!(refused.downcast_ref::<OutOfMemory>().unwrap().0, 1000);
        assert!(other.table_growing(20, 21, None).unwrap_err().is::<OutOfMemory>());
        drop(one);
        assert!(other.memory_growing(0, 680, None).unwrap());
    }

    #[test]
    fn refused_memory_is_not_counted() {
        let mut part = shared(1000).memory.part();
        assert!(!part.memory_growing(0, 11, Some(10)).unwrap(), "beyond the guest's own maximum");
        assert!(part.memory_growing(0, 1000, None).unwrap());
        assert!(part.memory_grow_failed(wasmtime::Error::msg("the machine has none")).unwrap_err().is::<OutOfMemory>());
        assert!(part.memory_growing(0, 1000, None).unwrap());
        assert!(part.memory_growing(0, usize::MAX, None).unwrap_err().is::<OutOfMemory>(), "the sum is not wrapped");
    }
}
