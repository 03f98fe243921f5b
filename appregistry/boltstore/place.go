package boltstore

import "fmt"

// networkFiles are the numbers by which Linux knows file systems of other
// machines.
var networkFiles = map[int64]string{
	0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB 2", 0x00c36400: "Ceph",
	0x01021997: "9p", 0x5346414f: "AFS", 0x73757245: "Coda", 0x0bd00bd0: "Lustre",
}

const ext4 = 0xef53

// fastCommitRisk says what could damage a file there; "" if nothing is known. With
// ext4's feature fast_commit, kernels from 5.10 on could lose what was synced,
// until the fixes of 5.10.94, 5.15.27 and 5.17 (bbolt's known issues). Whether a
// file system has the feature only root can see.
func fastCommitRisk(fs int64, kernel string) string {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(kernel, "%d.%d.%d", &major, &minor, &patch); n < 2 || fs != ext4 {
		return ""
	}
	switch {
	case major != 5 || minor < 10 || minor >= 17, minor == 10 && patch >= 94, minor == 15 && patch >= 27:
		return ""
	}
	return fmt.Sprintf("ext4 on kernel %s may lose synced data if the file system has the feature fast_commit, which tune2fs -l tells; kernels 5.10.94, 5.15.27, 5.17 and later are safe", kernel)
}
