//! Compiles the protobuf definitions in Rust, so that no `protoc` is needed on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = [
        "types.proto",
        "control.proto",
        "dispatcher.proto",
        "node.proto",
        "network.proto",
        "image.proto",
        "log.proto",
        "agent.proto",
        "files.proto",
        "swarm.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(protos, ["proto"])?;
    // BTreeMap keeps map fields in one order, so that equal values have equal bytes.
    // What holds a secret's content has a Debug of its own, in src/convert/secret.rs.
    let secret = [
        "orca.types.v1.SecretSpec",
        "orca.types.v1.AssignmentsDiff",
        "orca.image.v1.Credentials",
        "orca.types.v1.ClusterIdentity",
        "orca.types.v1.NextAuthority",
        "orca.swarm.v1.JoinRequest",
        "orca.swarm.v1.RestoreHeader",
        "orca.swarm.v1.UnlockRequest",
        "orca.control.v1.BackupRequest",
        "orca.control.v1.UnlockKeyReply",
        "orca.swarm.v1.IssueRequest",
        "orca.image.v1.BuildStart",
    ];
    // Streams of bytes are handed on without being copied.
    let streams = [".orca.node.v1.StreamOutput", ".orca.node.v1.AttachInput", ".orca.node.v1.ExecInput"];
    let build = streams.into_iter().fold(tonic_prost_build::configure(), |build, path| build.bytes(path));
    build.btree_map(".").skip_debug(secret).compile_fds(descriptors)?;
    Ok(())
}
