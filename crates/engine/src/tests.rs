//! The engine as a whole, over a store in memory, a scripted network and paused time.

mod delivery;
mod faults;
mod harness;
mod pace;
mod seeds;
