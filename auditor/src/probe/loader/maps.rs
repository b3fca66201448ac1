//! The maps that userspace writes to.

use std::net::SocketAddr;

use auditor_common::{COUNTERS, Counter, EndpointKey, FloodKey, FloodState, VolumeEntry};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, PerCpuArray},
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::LoadError;
use crate::probe::device::Device;

/// Maps that userspace writes to.
pub struct Maps {
    volumes: HashMap<MapData, u32, [u8; size_of::<VolumeEntry>()]>,
    endpoints: HashMap<MapData, [u8; size_of::<EndpointKey>()], u32>,
    cgroup_pods: HashMap<MapData, u64, u64>,
    flood: HashMap<MapData, [u8; size_of::<FloodKey>()], [u8; size_of::<FloodState>()]>,
    counts: PerCpuArray<MapData, u64>,
    live: Array<MapData, u32>,
    /// By counter, when the hooks became live.
    before_live: [u64; COUNTERS as usize],
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self {
            volumes: take(ebpf, "VOLUMES")?,
            endpoints: take(ebpf, "ENDPOINTS")?,
            cgroup_pods: take(ebpf, "CGROUP_PODS")?,
            flood: take(ebpf, "FLOOD")?,
            counts: take(ebpf, "COUNTS")?,
            live: take(ebpf, "LIVE")?,
            before_live: [0; COUNTERS as usize],
        })
    }

    pub fn set_volume(&mut self, device: Device, entry: VolumeEntry) -> Result<(), String> {
        let mut value = [0; size_of::<VolumeEntry>()];
        value.copy_from_slice(entry.as_bytes());
        self.volumes
            .insert(device.kernel(), value, 0)
            .map_err(|error| error.to_string())
    }

    /// A device that is not there is no error.
    pub fn remove_volume(&mut self, device: Device) {
        let _ = self.volumes.remove(&device.kernel());
    }

    /// `pod`: see [`crate::node::pod_id`]. False where there is no room: then its processes are strangers to all volumes.
    pub fn set_cgroup_pod(&mut self, cgroup_id: u64, pod: u64) -> bool {
        self.cgroup_pods.insert(cgroup_id, pod, 0).is_ok()
    }

    pub fn remove_cgroup_pod(&mut self, cgroup_id: u64) {
        let _ = self.cgroup_pods.remove(&cgroup_id);
    }

    /// What flood control holds now. One that comes or goes meanwhile may be missed until the next time.
    pub fn flood(&self) -> Vec<(FloodKey, FloodState)> {
        let entries = self.flood.iter().filter_map(Result::ok);
        entries
            .filter_map(|(key, state)| {
                let key = FloodKey::read_from_bytes(&key).ok()?;
                Some((key, FloodState::read_from_bytes(&state).ok()?))
            })
            .collect()
    }

    /// Forgets a key whose bucket is full again. Gives its last value where it was counted in meanwhile.
    pub fn remove_flood(&mut self, key: &FloodKey) -> Option<FloodState> {
        let mut bytes = [0; size_of::<FloodKey>()];
        bytes.copy_from_slice(key.as_bytes());
        let last = self.flood.get(&bytes, 0).ok();
        let _ = self.flood.remove(&bytes);
        FloodState::read_from_bytes(&last?).ok()
    }

    pub fn set_endpoint(&mut self, address: SocketAddr, index: u32) -> Result<(), String> {
        self.endpoints
            .insert(endpoint_key(address), index, 0)
            .map_err(|error| error.to_string())
    }

    pub fn remove_endpoint(&mut self, address: SocketAddr) {
        let _ = self.endpoints.remove(&endpoint_key(address));
    }

    /// From here on everybody's doings are told; before, only the auditor's own are: see [`super::Probes::load`].
    pub(super) fn go_live(&mut self) -> Result<(), String> {
        for (slot, before) in (0..COUNTERS).zip(&mut self.before_live) {
            let values = self.counts.get(&slot, 0);
            *before = values.map_or(0, |values| values.iter().sum());
        }
        self.live.set(0, 1, 0).map_err(|error| error.to_string())
    }

    /// Sum over the CPUs; 0 when the map cannot be read.
    pub fn count(&self, counter: Counter) -> u64 {
        debug_assert!((counter as u32) < COUNTERS);
        self.counts
            .get(&(counter as u32), 0)
            .map_or(0, |values| values.iter().sum())
    }

    /// The same without what was counted while only the canaries were told of.
    pub fn count_since_live(&self, counter: Counter) -> u64 {
        let before = self.before_live.get(counter as usize).copied();
        self.count(counter)
            .saturating_sub(before.unwrap_or_default())
    }
}

fn address_words(address: std::net::Ipv6Addr) -> auditor_common::Address {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(address.octets().as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    words
}

fn endpoint_key(address: SocketAddr) -> [u8; size_of::<EndpointKey>()] {
    let addr = match address.ip() {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        std::net::IpAddr::V6(v6) => v6,
    };
    let key = EndpointKey {
        addr: address_words(addr),
        port: u32::from(address.port()),
    };
    let mut bytes = [0; size_of::<EndpointKey>()];
    bytes.copy_from_slice(key.as_bytes());
    bytes
}

pub(super) fn take<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<M, LoadError> {
    let map = ebpf
        .take_map(name)
        .ok_or_else(|| LoadError::Object(format!("the object has no map {name}")))?;
    M::try_from(map).map_err(|error| LoadError::Object(format!("map {name}: {error}")))
}
