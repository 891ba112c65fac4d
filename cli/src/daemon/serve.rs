pub async fn serve(_: std::path::PathBuf, _: std::path::PathBuf) -> crate::error::Result<()> {
    Ok(())
}
