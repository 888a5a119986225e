"""From a corpus folder to manifests and trial lists; one file a data set."""
