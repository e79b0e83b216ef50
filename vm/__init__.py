"""The virtual machine in which pyoci meets systemd, cgroup v2, AppArmor and full privileges; see docs/vm.md."""
