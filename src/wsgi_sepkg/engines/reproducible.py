"""The rpm macros with which two builds of one input are the same bytes."""

# reproducible-builds.org; rpm's own macros file says what each one does. build_mtime_policy is what
# clamp_mtime_to_source_date_epoch became in rpm 4.20.
MACROS = {
    "source_date_epoch_from_changelog": "1",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
    "build_mtime_policy": "clamp_to_source_date_epoch",
    "_buildhost": "reproducible",
}
