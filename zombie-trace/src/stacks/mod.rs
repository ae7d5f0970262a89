//! What the threads of parents do while their zombies wait: samples of their stacks, weighted by zombie
//! time. Nothing is asked of the sampled process, and nothing stops it.

mod account;
mod evaluate;
mod mappings;
mod module;
mod process;
mod registers;
mod sampler;
mod symbol;
mod symbolize;
pub(crate) mod symbolizer;
mod tally;
mod unwind;
mod walk;
mod wanted;

pub(crate) use evaluate::Sampled;
pub(crate) use sampler::Sampler;
