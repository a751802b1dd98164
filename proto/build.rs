//! Compiles the schemas with `protox`, so that no machine needs `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schema");
    let status = protox::compile(["schema/status.proto"], ["schema"])?;
    prost_build::Config::new().btree_map(["."]).skip_debug(["."]).compile_fds(status)?;

    #[cfg(feature = "rpc")]
    {
        let local = protox::compile(
            [
                "schema/local/keymgr.proto",
                "schema/local/cards.proto",
                "schema/local/policy.proto",
                "schema/local/approvals.proto",
                "schema/local/node.proto",
                "schema/local/proof.proto",
            ],
            ["schema/local"],
        )?;
        let mut config = prost_build::Config::new();
        config.btree_map(["."]).skip_debug(["."]);
        tonic_prost_build::configure().compile_fds_with_config(local, config)?;
    }
    Ok(())
}
