package service

// ReloadingCertificateAt is [ReloadingCertificate] with a clock of the test's.
var ReloadingCertificateAt = reloadingCertificate
