//! Compiles the protobuf definitions in Rust, so that no `protoc` is needed on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = ["types.proto", "control.proto", "dispatcher.proto", "node.proto", "log.proto", "agent.proto"];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(protos, ["proto"])?;
    // BTreeMap keeps map fields in one order, so that equal values have equal bytes.
    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
