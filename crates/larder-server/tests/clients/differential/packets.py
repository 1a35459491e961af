class Packets: pass
