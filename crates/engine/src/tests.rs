//! The engine as a whole, over a store in memory, a scripted network and paused time.

mod delivery;
mod faults;
mod harness;
mod jobs;
mod late;
mod lives;
mod operations;
mod order;
mod pace;
mod patterns;
mod races;
mod seeds;
mod shares;
mod tuning;
