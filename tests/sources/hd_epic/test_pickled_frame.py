"""Frames in pickles: what pandas 2.2.3 with numpy 2 wrote, in three protocols, is read without either of them."""

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest

from embedonce.pipeline.sources.hd_epic.pickle_data import PickleDataError
from embedonce.pipeline.sources.hd_epic.pickled_frame import MAX_COLUMNS, MAX_ENTRIES, frame_columns
from tests.support.pickled_frames import Reduced, pickled_frame

PROTOCOL_2 = (
    "c-nPU+jkR17*En0T|huY@P;kkg4&oA(5l5^!78i-7;oz(uCtqIckO0(f4j3SRU#Bg(t5w+yT0jz=lFt8p40qcIy2dAK<VV1otbZb-}n8#%S^"
    "5m?2!6(8kg)KVx{?rHkfvbayqA0$Q@oqzKKH77|i8zW@913z%3fC&spSCFD^BxPZwAeYqMTpFP`n~Gz?~N({ru3kJrq^4_$lFW2Pk)Gz{5(("
    "g;^drZU_}JnqscqAQviF+1>M9wj!{Fx-P_!l*jMh@NX<n=RDp%#JnY%Y}wfBQGdh(2QX*dz8C=1>4)$L9nxfI|z0a^}Ify7uwjJnymAcP-yN"
    "k3PNLk3U{urb+DJ<uA)AmtW9HIwOT#%j~MEs=Q!@R)}2vfTAX%&zp!!R;6|(aTX%Klh#K8LXEuHfk89oQ8^3h_n8~Tpy^$`)PGo}1*zX8#2M"
    "F%rxYu%q9TnAmj-Yx!!2^nF3kRJZH+KpTN^WBW<AR&>e^!SSs{;Z%(DRWSOy_OsjEAJhhY23xc+}Dh9Xv)*bcQnDho$ew37(L?^D<3OI^)vl"
    "ZlOGq8X3)uO-N%Uf~PpjmTj6=;)?qDrm4lAYm1~-^if^Y^BqhQ9Fg9R5*+J$ds=#XhG0s18<F0gO=CSbh390f&l5~%b-0A%w?;g}@q)Ep!%W"
    "fGC(h58D-)CD$)jcQnW$9ClgG*v6`a`eY!WXTdvAY+S!dSRBYA|(AL9-ivy;#YXjI2ZL+0|N7sPDL<v3NtOTBv%2q@;%(h0meUS>7CVho9`E"
    "x|ZVYdGV~DfLZjdK<3_`Pmw(B24{|&^f0M3d#Ac?nP`<kBTdH!5J52k;aCyau8XL*9cy3;|+p0g_XC8P9Ha%;S7m;o8X-`-X(Z1g~$qb|LXp"
    "I^A9x%eV@Q=;{yW97>BjlsJ1L$oq(zGwJ_gnm8o2R<kPv3&KcK?OV(0a#%)15bO=OhKUDp>NZ@tQsKGD(=MAc}i!3f#G-jIVvt{$NlxPUHhN"
    "XzG3G`}K7mpsIES^}#!wC`@&-NCUoN3Wr%SF{CiSHs|rZ20&-M}~9IxecbF1d9U$nA<DZ^kA99~ryEKISyyCU+Z5tQsLcHg*ar^XoUsE~!3Q"
    "Vv!Z2sn#KNqZpqUJ5sr6do+$&jLV8mpGM!vm0q(2iO;dB-oIY2;Hs$Fr<MxX7Y{tHRg*Sa1a0T`xr(U2z%(MiX~sHDtQDPWRpmhigmpcqEXF"
    "(t@tIyoH!Q^GdS2N7g5XQm##aPi_x?u2GmCFjhGf>&pANoNd$YkfRi*f@hVPXR%DD*thbDehftd3iU5N2h6W5LX^4Rl&<=Ctzp?GH~XQoFj="
    "EeAVEl#Y`zw3$`^Z"
)
PROTOCOL_4 = (
    "c-nPT&2AGh5Khvh`Dvk45l|#lMI5SfXp{tydH@BHf>c(dP>Ew@d3W9Hs=MB0*V|Hw3J~g_<Xg=Xz(a85DR>AtAaQ|HnQ=C0N`nvf%y@pk@%U"
    "Z-<4Pf;mz)hLw`p9rf{4{OBkD6H%PUmSCz?J{x8JKhwJ7t%??p<^kE**|u!vJHuKSeJ9*bfnryqHNwe_segSotxS`g1Q<1-T_XGp?B*V^(JG"
    "0{dV^TZE#>qNWv6HmA_is&x5B@wd%9*Zck1ZozvrjkW)u2oKyk=a+Btf>ywx>_`{#)OeOP|l1j*kU)tQe<v(Ssfqs?<ZvTzUp?nPfua#&BzF"
    "49(Ni)UVNF~|NgaoN3UP)&*6j0w@*LYeZ+pJXYFCizg1x7Ty|zLzEd4W2WC#@+>waR&2jPOCi;#t`SdKMC;ByVXzNT}^q<w$EgW~Q6jS~3h@"
    "C8%i3{*?0J;!+u7&j*Wuszb(ZT=S7PVVQeC-@mZ~lR*jj3<IySVzi(OhaZT6Y_;Ej62s*1g73Q;nCml&p@CE9bGCT?-kn35V6JBs2pW*-Dl="
    "UJ$dID-=e`2cV&3-U&Qgu??up!fQo0l(Q;JL$d>vY+%~PEl@M^s4y)jV~ctepQN+UDHR4-9YBSku;{!*@#LtuFZy%ZUs}Z2*j^X+btjfn>r6"
    "I1bLlyVHgG@aSmi>e4|S<?=cmkOuUT9-DHJO!gtHy8iZU!^OBM#So>ChoS6xhS3YfO;S2f}8tAr7bQzP7f6Bm)*c5N1DvOK(j5sd|n1QD*!f"
    "bv5nFEMV9@`Y^{nfS&+>gw@Fo>(4@V+L&XEX=5p6(n4!VM`EHndkW5bQ6udFK>*4Afmj77_8$tQn&M=3$Gk=g-<}{V-bY##F1b?WVKI*8+>E"
    "%7eJAS)8MxwJ`+>}hmVR10fp>Ac4X6|JxyMxo)_%I#7;sOB`O&4sL9|HJBkyt{uhzh<G}"
)
PROTOCOL_5 = (
    "c-n1L&2G~`5RTKN=^xNiQQAveaSDe<NlHZzR7C`Vz#@erajRBqdlOr=*T!DARH7;z`X}v;r7r*v!Ih`rA>e?-1x{sV;{+FV4?DB7GqW?_%<Q"
    "}J$5-WoUUDj;+@VR$4r5m9#57<^jy|M<KGOULb^E>AS5;XeK{r-%KCkX^!D3GRq!v(4yDUzWoOs}e_V%;h8O-HOW<h+<O8%KBd5xqz^6YJ&5"
    "escld77s|v{xhAJ@72{Y$eA@Ck_KE?R2!u>RG)PeBsB7FY|}rzpgLq^=tiev^Mtb)6ezZ?eB~(-p|elN|yBlKpn9cVS2LISyiVe$7)km%^_*"
    "rQ|)&9={YRDnFXONbI2?nDQUEn05$h&^=vi^U?`)djE-bfxz}aU%Q<#uE^~XR+&Oe<7E#R|N7s{?i%LdE2QC*(1LNqK$Pp{`eBp6GvYhyyjm"
    "em!=9p<5=RC@pJfcAg7Br42ATU8<W`{fxacT>&bth#73Z*Z>Q{hmx3`_OGH_VED8Isz#fY#gp&{~JIPPd?4Zal9ymYVhEojPnwjYhq>QeSGQ"
    "%jHcd{3UYbw&c`C#Q36c*`l3BR!Cz9GH>}|!WKQD@TF1+8cLSj(03Hu0yJ#AR&-0bkLAd~><A@W7`Ax})XWkpG~{q%Q=ej6xeKk4av$s?$Pg"
    "5&?n@L8=fyqIpYz_*BE}$ZEZ%D2;xaN?%xK^L@P9=f%N4nDu`7;sma`Y<&S7s@QnM)JDaQzByW|PVFpI7%_jx_H4$QK0m)#XCse89y&~Z4d="
    "~7Ln+<Toe!m;+k3pw!+<Q>mpp=L)1H!!q`ps^sr3m9-gq~sOGo&34H!(t1YGNPXT5b#WFpC$=QaKZ=A<c;hw<w6arfq2Ri#~-MjYS2A7cNqj"
    "R<z2*J6KO7Q_n-}9fw4j>%Tgl32=GLP0b^*N3^(}L;3t425vTtDM*=3O1`hj)3IU1iLv*C$)2?Q3Qr{1E6XK*1%pMht_|#(Xt(_#PRr?Dk<K"
    ")u"
)
FRAME = {
    "unique_narration_id": ["P01-20240202-110250-1", "P01-20240202-110250-2"],
    "narration": ["Open the cupboard", "Close it"],
    "start_timestamp": [0.14, 1.2],
    "verb_classes": [[3, 34], [4]],
    "count": [7, 9],
    "scalar": [[5], [6, -7]],  # scalars of numpy
}


def read(path: Path, content: bytes, *wanted: str) -> dict[str, list]:
    (path / "frame.pkl").write_bytes(content)
    return frame_columns(path / "frame.pkl", wanted)


@pytest.mark.parametrize("text", [PROTOCOL_2, PROTOCOL_4, PROTOCOL_5], ids=["2", "4", "5"])
def test_frames_of_pandas_are_read(tmp_path, text):
    content = zlib.decompress(base64.b85decode(text))
    assert read(tmp_path, content, *FRAME) == FRAME
    missing = read(tmp_path, content, "narration_timestamp", "other")["narration_timestamp"]
    assert missing[0] == 8 and np.isnan(missing[1])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_frames_of_other_tests_are_such_frames(tmp_path, protocol):
    numbers = ("start_timestamp",)
    assert read(tmp_path, pickled_frame(FRAME, protocol, numbers), *FRAME) == FRAME
    names = ("start_timestamp", "verb_classes", "narration", "count")  # in another order, with a slice of places
    some = {name: FRAME[name] for name in names}
    assert read(tmp_path, pickled_frame(some, protocol, numbers), *names) == some


@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_may_be_in_the_order_of_columns(tmp_path, protocol):
    columns = {"a": [0.5, 1.5, 2.5], "b": ["x", "y", "z"], "c": [3.5, 4.5, 5.5], "d": [[1], [2], [3]]}
    for order in ("C", "F"):
        assert read(tmp_path, pickled_frame(columns, protocol, ("a", "c"), order), *columns) == columns


def test_values_that_are_not_plain_are_refused(tmp_path):
    for value in ({"a": 1}, (1, 2), [[1]], b"bytes", Reduced(list, (1,)), [Reduced(list, (1,))], np.zeros(2)):
        with pytest.raises(PickleDataError, match="expected a table of plain values, got another form of it: "):
            read(tmp_path, pickled_frame({"a": [value, 1]}), "a")
        assert read(tmp_path, pickled_frame({"a": [value, 1], "b": [1, 2]}), "b") == {"b": [1, 2]}  # not asked for


def test_sizes_are_bounded(tmp_path):
    with pytest.raises(PickleDataError, match=f"at most {MAX_ENTRIES} entries of a list expected"):
        read(tmp_path, pickled_frame({"a": [[0] * (MAX_ENTRIES + 1)]}), "a")
    wide = {f"c{number}": [0] for number in range(MAX_COLUMNS + 1)}
    with pytest.raises(PickleDataError, match=f"at most {MAX_COLUMNS} columns expected"):
        read(tmp_path, pickled_frame(wide), "c0")


def test_a_damaged_file_is_an_error_or_a_table(tmp_path):
    content = zlib.decompress(base64.b85decode(PROTOCOL_5))
    random = np.random.default_rng(0)
    num_errors = 0
    for _ in range(400):
        changed = bytearray(content)
        changed[random.integers(len(content))] = random.integers(256)
        try:
            read(tmp_path, bytes(changed[: random.integers(1, len(content) + 200)]), *FRAME)
        except PickleDataError:
            num_errors += 1
    assert num_errors > 100
