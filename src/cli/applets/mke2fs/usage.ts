export const USAGE =
  'Usage: mke2fs [-c|-l filename] [-b block-size] [-C cluster-size]\n' +
  '\t[-i bytes-per-inode] [-I inode-size] [-J journal-options]\n' +
  '\t[-G flex-group-size] [-N number-of-inodes] [-d root-directory]\n' +
  '\t[-m reserved-blocks-percentage] [-o creator-os]\n' +
  '\t[-g blocks-per-group] [-L volume-label] [-M last-mounted-directory]\n' +
  '\t[-O feature[,...]] [-r fs-revision] [-E extended-option[,...]]\n' +
  '\t[-t fs-type] [-T usage-type ] [-U UUID] [-e errors_behavior][-z undo_file]\n' +
  '\t[-jnqvDFSV] device [blocks-count]\n';
