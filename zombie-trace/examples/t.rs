fn main() {
    let mut t = match zombie_trace::kernel::Tracer::start(&zombie_trace::kernel::Config{scope: Default::default(), max_zombies: 32768, buffer: 1<<20, min_zombie_ns: 0, debug: false}) { Ok(t)=>t, Err(e)=>{ println!("{e}"); use std::error::Error; let mut s=e.source(); while let Some(x)=s { println!("-> {x:#?}"); s=x.source(); } return } };
    println!("{:?}", t.adopt());
    println!("{:?}", t.clocks([0,1]));
    let mut r = t.take_ring_buffer().unwrap();
    std::process::Command::new("true").status().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    while let Some(b) = r.next() { println!("{:?}", zombie_trace::decode::record(&b)); }
    println!("{:?}", t.counters());
}
