*
DotProductDistance:"