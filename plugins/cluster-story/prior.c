/* SPDX-License-Identifier: Apache-2.0 */
/* prior.c - how common a word is in headlines before a stream has shown it.
 *
 * Three lists of stems: words that about one headline in fifty, in two hundred and in five hundred
 * has. Names of people, places and companies are left out, however common: they are what tells events apart.
 * The lists were written for this project after counting a few months of English headlines; other languages
 * start without one. */
#include "words.h"

#include <pthread.h>
#include <string.h>

#include "text.h"

/* clang-format off */
static const char every_page[] =
    "advanc agree analyst announc approv apr april attack aug august bank best bill billion business buy call "
    "car cent center ceo chang chief chip climat co com company confirm cost crisis cut data day deal debut dec "
    "december demand dlr dollar driv economic economy election end energy expect expert fac face fall feb "
    "february federal firm first five four friday fund futur gain global gold government group growth health "
    "help high hit hold hous includ industry inflation jan january job jul july jun june key last latest launch "
    "law lead leader man mar march market may meet military million minister mln monday month mov national next "
    "nov november oct october offer official oil open pct peac people percent plan policy post power president "
    "pric protest push question rais rally rat record releas research result return reveal review right ris "
    "risk sanction satellit saturday second security sell semiconductor sep sept september shar share show spac "
    "spokesman start stat stock street strik studi study sunday support surg talk target tarif tax team tech "
    "technology threat three thursday tim time trad tuesday unit unveil wall war warn wednesday week work world "
    "year ";

static const char common[] =
    "accelerat across act action address administration agreement air analysis another anti approval arm arrest "
    "asset autonomous back ban bas becom begin bet biggest block board boom boost break brief bring budget "
    "build cap capital captur cas central challeng charg city claim clean clear clos community concern consumer "
    "continu contract control council country county court crash credit crud cyber daily death decision defenc "
    "defens delay deliver development devic digital disaster dow dron drop drug early earn earth eas edg enter "
    "era expand expansion explain export eye fail family fear fight fil financial find fir fiv flood focus "
    "follow food forc forecast foreign former fre fuel full gam gas general geopolitical governor great green "
    "grow head higher highlight hik historic history hom hop human impact increas infrastructur innovation "
    "insid interest international investment investor issu join jump keep kill land lawmaker layof leav lif "
    "limit lin link list local long loom loss low lower major management manufactur mark massiv mean media "
    "medical middl miss missil mission moon nation need network offic onlin operation opinion order outlook "
    "partner party pass pay peopl phas plant point polic politic political poll prediction prepar press pressur "
    "production profit program project propos protester public quarter rac reach ready real reform remain "
    "renewabl reshap rocket rul run safety sal sav school sector secur seek self senat servic shift ship sign "
    "signal silver sinc soar social solar spark spend step stop storm story strategic strategy strong student "
    "supply system tanker tension term test thre threaten tie toward travel trend trial turn union university "
    "updat urg vehicl visit vot water weapon weather weekly weigh whit win winter worker ";

static const char frequent[] =
    "abortion abov abus accept access accord account accus achiev acquir acquisition activist activity actor "
    "actress add admit advisor advocat affect affordability affordabl age agency agenda agent agre agricultur "
    "aid aim aircraft airlin airport alarm album alert alleg allianc allow ally already ambition amendment "
    "amidst announcement annual answer app appeal application appoint approach april area army around arriv art "
    "ask assault assembly astronaut attempt aud authority auto automotiv autonomy avail available averag avoid "
    "await award away baby backlash bad bag balanc ball ballot band bankruptcy bar battery battl bay beach beat "
    "beautiful becam believ benefit better beyond bid billionair bipartisan birthday bit black blackout blam "
    "blast blockad blu boat body bomb bond book border born bottom box boy boyfriend brac brain brand breach "
    "breakthrough bright brother bubbl bug built bullish burn bus busy cabinet campaign cancel cancer candidat "
    "cannot capability capacity captain carbon card carrier carry cash catch caus caution ceasefir celebrat "
    "celebrit celebrity cell centr chain chair chanc chance chao chart chas check child children choic choos "
    "church cit citizen civil clash class climb clinical clock closer closur cloth cloud coach coal coalition "
    "coast cod coffee cold collaps colleg color comment commentary commercial commission commitment committe "
    "commodity common communication complain complet comput concert condemn condition conduct conferenc "
    "confidenc confident conflict congressional connectivity conservativ consider construction controversial "
    "cool cooperation copper cor corporat count counter couple cours cover coverag crack crackdown crazy creat "
    "crew crim criminal critic critical cross cry crypto cultur curb currency current custom customer cute "
    "cyberattack cybersecurity cycl damag damn dangerous dark dat daughter dead deadlin deadly debat debt deby "
    "decad decid declar declin deep deepen defend defin defy delight delivery democracy democratic "
    "demonstration deny department deploy deployment deputy design detail develop die difficult dinner dip "
    "diplomacy diplomatic direct director dirty discover discuss diseas disput disrupt disruption district div "
    "divid dividend divorc doctor dog domestic dominanc dominat door doubl doubt dozen draft drag draw dream "
    "dress drill drink driven driver driverless drought dump eastern easy eat economist ecosystem editor "
    "editorial education effect efficiency effort elect electoral electric electricity electronic emerg "
    "emergency emission employe ending enforcement engin engineer england enhanc enjoy enough enterpris entir "
    "environment environmental envoy episod equipment equity error escalat escalation estimat etf euro "
    "evacuation event every everyth evil exactly excel excellent excit executiv exit expectation explor expos "
    "express extend extra extrem facility fact factory failur famous fan fantastic far farm farmer fashion fast "
    "faster father favorit featur fee feel fighter figur fin final finale finally financ fiscal fix flag flash "
    "flat fleet flight floor flu fly foot forget form forum forward fossil found foundation fourth framework "
    "fraud freedom freez fresh friend front frontier fun funny gambl gap garden gather gdp generation geneva "
    "geopolitic german giant gift girl girlfriend glass goal golden gov governanc govt grant grenada grid "
    "ground guarante guard guess guest guid guidanc gun guy hair half hall halt hand happen happy hard hat hate "
    "headlin healthcar hear heat heavy held hell hero hidden highest hint hir holiday hollywood honor hospital "
    "host hot hour household hub hug huge hundr hunger hurt husband hydrogen idea ignor illegal imag imagin "
    "immigration import important impos impress improv incom incredibl independenc independent index industrial "
    "information initiativ injur insider insight instead institut insuranc integrat intensify internet "
    "intervention interview introduc invest investigat investigation invit involv island iss item jail jet "
    "jobless joint joke journal journalist joy judg justic kick kid king kiss knock lab label labor labour lack "
    "lady lakh landmark landscap larg largest laugh lawsuit lawyer lay leadership leagu league leak learn least "
    "led left legal legislation legislativ legislatur lesson let letter level liberal licenc licens lie lift "
    "light likely littl liv loan lock longer look lost lot lov lowest lucky luxury machin mad magazin magic "
    "mail main maintain mak maker mandat many map mar marijuana married marry mass material matter mayor measur "
    "medicin mega member memory merger messag metal mid mileston mind minimum ministry mistak mix mobil "
    "mobility model moment momentum money monthly morn mortgag mother mount mouth movement movi movie multi "
    "multipl music myster mystery nam nationwid natural navigat navy near nearly negotiation neighbor nerv net "
    "never newspaper nic night non not notic novo number nurs ocean odd officer old operat opportunity oppos "
    "opposition optimism option orbit orbital organization origin other outag outbreak outlin output outsid "
    "owner packag pact page paint pair pandemic panel paper parent park parliament part partnership past path "
    "patient paus payment peak pension per perfect perform performanc persist person pharma pharmaceutical phon "
    "photo pick pictur piec pill pilot pink pipelin pivot plac plain planet platform play player pleas pledg "
    "plung pois pollution pop popular port portfolio position positiv possibl potential pound powerful prais "
    "precious predict pregnant premier present presidential pretty prevent preview prim primary priority prison "
    "privat priz pro prob probably problem process product progress promis proof property proposal prospect "
    "protect protection proud prov provid pull purchas put quick quiet quit radar radio raid rain ramp random "
    "rang rank react reaction reactor reality realiz really reason rebound recall recap receiv recent recover "
    "recovery red redefin reduc reduction reflect refus regim region regional regulation regulator regulatory "
    "reject relat relation relax relief remark remember remind remov renew rent rep repair repeal replac report "
    "request requir researcher reset resident resign resilienc resilient resolution resourc respond respons "
    "rest restart restor restriction resum retail retirement retreat revenu revers reviv revolution rich rid "
    "ring rival river rivian road robot robotic rock rol roll romanc room rough round roundup row ruin rumor "
    "rumour rural rush sad scal scen scene schem scienc scientist scoop scor scrap scream screen sea search "
    "season seat secret secretary seem seen seiz seizur sen senator send senior sens sentenc serious sery "
    "session seven sever sexy shadow shak shap sharp sharply shatter shield shirt shock shoe shoot shop short "
    "shortag shot showcas shut shutdown sick sid simpl sing singer singl sister sit situation six size skin "
    "slam slash sleep slid slip slow slump small smart smil smok snap snow softwar sold soldier solution son "
    "song soon sorry sound sourc southern speak special speech speed spik split spoiler sport spot spotlight "
    "spread spy stability staf stag stak stall stanc stand standard star startup statement station status stay "
    "steady storag strain strang stranger stream strength strengthen stress stronger struggl stunn stupid style "
    "stylish subsidy success sudden sue suggest suit summer summit sun sunday super surpris survey suspect "
    "suspend sustainability sustainabl sweep sweet swim switch tabl tackl tak talent tap tast teacher teas "
    "technical telecom tell ten terribl terror thank theater therapeutic therapy thi think third thousand throw "
    "thursday ticket tight tighten tiny tip tir titl toll tool top topic touch tough tour tourism tout town "
    "track trader traffic trailer train transcript transform transformation transition treasury treat treatment "
    "treaty trick trigger trillion trip tripl troop troubl truck trust truth try tuesday tumbl turmoil twist "
    "typ ugly ultra uncertainty understand unemployment unlik unlock unprecedent upcom upgrad used user using "
    "usual utility vacation vaccin valu valuation version veteran veto victim victory view violation violenc "
    "viral virus vision voic volatility voter vow wag wait wak walk walkout warm wast watch wav weak weaken "
    "wealth wear wedd wednesday weekend weight weird welcom western wif wife wild wildfir wind wing winner wir "
    "wish within woman women wonder word workforc worldwid worri worry worst worth wow wrap wrong yield young "
    "youth zero zon ";

/* clang-format on */

enum { SLOTS = 8192 }; /* power of two, over twice the words */

static struct {
    uint64_t hash;
    uint8_t per_mille;
} table[SLOTS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void add_list(const char *list, uint8_t per_mille) {
    for (const char *word = list; *word;) {
        size_t len = strcspn(word, " ");
        uint64_t hash = text_hash(word, len);
        uint32_t slot = (uint32_t)hash & (SLOTS - 1);
        while (table[slot].hash)
            slot = (slot + 1) & (SLOTS - 1);
        table[slot].hash = hash;
        table[slot].per_mille = per_mille;
        word += len + (word[len] == ' ');
    }
}

static void build_table(void) {
    add_list(every_page, 20);
    add_list(common, 5);
    add_list(frequent, 2);
}

unsigned words_per_mille(uint64_t hash) {
    pthread_once(&once, build_table);
    uint32_t slot = (uint32_t)hash & (SLOTS - 1);
    while (table[slot].hash && table[slot].hash != hash)
        slot = (slot + 1) & (SLOTS - 1);
    return table[slot].per_mille;
}
